"""Serve application of as many deployments as the compact topology has, which do nothing, until SIGTERM.

Started and deployed as `python -m serve_app` does it, on the port of the settings: what Ray and Serve take by
themselves. `bench.speed.startup` runs `python -m bench.speed.empty_app`.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from bench.report import no_arguments
from configs.settings import Settings
from serve_app import local_ray

READY = "The empty application is ready"
NAMES = ("Bundle", "Worker", "Ingress")


class Empty:
    """A deployment without work; as the ingress it answers every request."""

    def __init__(self, *_others: Any) -> None:
        pass

    async def __call__(self, _request: Any) -> str:
        return "ok"


def main() -> None:
    no_arguments(__doc__)
    settings = Settings()
    local_ray.set_defaults(settings)
    local_ray.start(settings)
    try:
        from ray import serve

        deploy: Any = serve.deployment
        bundle, worker, ingress = (deploy(Empty, name=name, ray_actor_options={"num_cpus": 0.1}) for name in NAMES)
        of_bundle = bundle.bind()
        local_ray.deploy(ingress.bind(of_bundle, worker.bind(of_bundle)), settings.http_host, settings.http_port)
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        signal.pause()
    finally:
        local_ray.stop()


if __name__ == "__main__":
    main()
