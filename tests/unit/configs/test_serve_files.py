"""The YAML files of the repository, checked strictly: Serve itself accepts misspelt fields and ignores them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import Draft7Validator
from pydantic import BaseModel, SecretStr
from ray._common.ray_constants import DEFAULT_MAX_CONCURRENCY_ASYNC
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve._private.build_app import build_app
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from configs.settings import Auth, Diffusion, FrontDoorOptions, Settings
from serve_app.exposure import require_guarded
from serve_app.graph import Args, build

ROOT = Path(__file__).parents[3]
SERVE_FILES = [ROOT / "configs" / name for name in ("local.yaml", "production.yaml", "rayservice.yaml")]
CLUSTER_FILES = [ROOT / "cluster.yaml", ROOT / "configs/cluster-gcp.yaml"]


def _serve_config(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return yaml.safe_load(loaded["spec"]["serveConfigV2"]) if "spec" in loaded else loaded


def _unknown_fields(sent: Any, parsed: Any, where: str = "") -> list[str]:
    """Fields of the YAML that the parsed model does not have."""
    if isinstance(parsed, BaseModel):
        fields = type(parsed).model_fields
        return [
            problem
            for key, value in sent.items()
            for problem in (
                _unknown_fields(value, getattr(parsed, key), f"{where}.{key}") if key in fields else [f"{where}.{key}"]
            )
        ]
    if isinstance(parsed, list):
        return [
            p for i, (s, m) in enumerate(zip(sent, parsed, strict=True)) for p in _unknown_fields(s, m, f"{where}[{i}]")
        ]
    return []


@pytest.mark.parametrize("path", SERVE_FILES, ids=lambda path: path.name)
def test_a_serve_file_has_no_field_that_serve_does_not_know(path: Path) -> None:
    config = _serve_config(path)
    assert _unknown_fields(config, ServeDeploySchema.model_validate(config)) == []


@pytest.mark.parametrize("path", SERVE_FILES, ids=lambda path: path.name)
def test_a_serve_file_names_only_deployments_that_its_graph_builds(path: Path) -> None:
    [application] = _serve_config(path)["applications"]
    graph = build(Args.model_validate(application.get("args", {})))
    built = build_app(graph, name="darkroom", default_runtime_env={})
    names = {deployment.name for deployment in built.deployments}
    assert {entry["name"] for entry in application.get("deployments", [])} <= names


def test_in_production_every_deployment_states_its_resources_and_its_queue_limits() -> None:
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    built = build_app(build(Args.model_validate(application["args"])), name="darkroom", default_runtime_env={})
    stated = {entry["name"]: entry for entry in application["deployments"]}
    assert set(stated) == {deployment.name for deployment in built.deployments}
    for entry in stated.values():
        assert entry["ray_actor_options"]["num_cpus"] > 0
        assert entry["max_queued_requests"] > 0
        scaling = entry.get("autoscaling_config")
        if scaling and "policy" not in scaling:
            assert scaling["target_ongoing_requests"] <= entry["max_ongoing_requests"]


def test_in_production_workers_come_with_the_age_of_the_oldest_job_and_capabilities_with_calls() -> None:
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    scaled = {entry["name"]: entry["autoscaling_config"] for entry in application["deployments"]}
    policy = AutoscalingConfig.model_validate(scaled.pop("Worker")).policy
    assert policy.get_policy()(**policy.policy_kwargs)  # as Serve makes it of what it has pickled
    for name, scaling in scaled.items():
        assert AutoscalingConfig.model_validate(scaling).policy.is_default_policy_function(), name
        assert scaling["target_ongoing_requests"] > 0


def test_in_production_pictures_in_the_making_leave_room_for_lists_and_previews() -> None:
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    stated = {entry["name"]: entry for entry in application["deployments"]}
    jobs = stated["Worker"]["autoscaling_config"]["max_replicas"] * Settings().jobs.generations
    assert stated["Diffusion"]["max_ongoing_requests"] > jobs * _images_of_a_job()


def test_on_one_machine_pictures_in_the_making_leave_room_for_lists_and_previews() -> None:
    built = build_app(build(Args(diffusion=True)), name="darkroom", default_runtime_env={})
    [diffusion] = [deployment for deployment in built.deployments if deployment.name == "Diffusion"]
    assert diffusion.max_ongoing_requests > Settings().jobs.generations * _images_of_a_job()


def test_the_split_topology_fits_two_nodes_of_one_processor_whichever_a_replica_falls_on() -> None:
    built = build_app(build(Args(topology="split")), name="darkroom", default_runtime_env={})
    shares = [deployment.ray_actor_options["num_cpus"] for deployment in built.deployments]
    assert sum(shares) + max(shares) <= 2.0, "one node may be left with less than a replica needs"


def _images_of_a_job() -> int:
    """Count the images of a job that are made at once, at most, on any device and with any batches."""
    options = [Diffusion(device=device, max_batch=most) for device in ("cpu", "cuda", "auto") for most in (None, 1, 64)]
    return max(chosen.at_once for chosen in options)


def test_the_diffusion_engine_is_deployed_where_it_is_asked_for() -> None:
    names = [
        {deployment.name for deployment in build_app(build(args), name="x", default_runtime_env={}).deployments}
        for args in (Args(), Args(diffusion=True, diffusion_gpus=0.5))
    ]
    assert names[1] - names[0] == {"Diffusion"}


def test_kubernetes_runs_the_production_configuration_word_for_word() -> None:
    assert _serve_config(ROOT / "configs/rayservice.yaml") == _serve_config(ROOT / "configs/production.yaml")


def test_in_kubernetes_the_head_runs_no_replicas_and_a_worker_group_has_gpus() -> None:
    cluster = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["authOptions"] == {"mode": "token"}
    limits = [
        group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in cluster["workerGroupSpecs"]
    ]
    assert any("nvidia.com/gpu" in limit for limit in limits)


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_every_replica_of_production_fits_a_worker_of_the_cluster(path: Path) -> None:
    cluster = yaml.safe_load(path.read_text())
    workers = [node["resources"] for name, node in cluster["available_node_types"].items() if name != "head"]
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    for entry in application["deployments"]:
        wanted = entry["ray_actor_options"]
        assert any(
            wanted["num_cpus"] <= node["CPU"] and wanted.get("num_gpus", 0) <= node.get("GPU", 0) for node in workers
        ), entry["name"]


def test_the_variables_of_production_are_settings() -> None:
    """A misspelt variable would be ignored without a word."""
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    for variable in application["runtime_env"]["env_vars"]:
        fields: Any = Settings
        for part in variable.removeprefix("DARKROOM_").lower().split("__"):
            assert part in fields.model_fields, variable
            fields = fields.model_fields[part].annotation


def test_production_asks_for_keys() -> None:
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    variables = application["runtime_env"]["env_vars"]
    assert variables["DARKROOM_AUTH__MODE"] == "api_key"
    auth = Auth(mode=variables["DARKROOM_AUTH__MODE"], admin_key=SecretStr("of the environment"))
    require_guarded(Settings(http_host=variables["DARKROOM_HTTP_HOST"], auth=auth))


def test_in_a_cluster_clients_reach_serves_proxy_through_the_front_door_alone() -> None:
    for path in SERVE_FILES:
        config = _serve_config(path)
        assert config["http_options"]["host"] == "127.0.0.1"
        assert config["http_options"]["port"] == 8001, "the default target of the front door"
    command = ["python", "-m", "serve_app.front_door"]
    for path in CLUSTER_FILES:
        cluster = yaml.safe_load(path.read_text())
        for node in ("head", "worker"):
            assert any(" ".join(command) in line for line in cluster[f"{node}_start_ray_commands"])
    pods = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
    for group in (pods["headGroupSpec"], *pods["workerGroupSpecs"]):
        assert command in [one.get("command") for one in group["template"]["spec"]["containers"]]


def test_in_kubernetes_the_doors_of_other_pods_stand_in_for_a_lost_proxy() -> None:
    """KubeRay calls the service of the doors after the RayService."""
    service = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())
    pods = service["spec"]["rayClusterConfig"]
    for group in (pods["headGroupSpec"], *pods["workerGroupSpecs"]):
        [door] = [one for one in group["template"]["spec"]["containers"] if one["name"] == "front-door"]
        variables = {one["name"]: one["value"] for one in door["env"]}
        others = FrontDoorOptions(others=json.loads(variables["DARKROOM_FRONT_DOOR__OTHERS"])).others
        assert others == (f"{service['metadata']['name']}-serve-svc:8000",)


@pytest.mark.parametrize("path", [*CLUSTER_FILES, *SERVE_FILES], ids=lambda path: path.name)
def test_no_secret_stands_in_a_file(path: Path) -> None:
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(r"(?i)(password|secret_key|auth_token|admin_key|database_url)\s*[:=][ \t]*\S", text)


def test_a_misspelt_argument_of_the_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="topologie"):
        Args.model_validate({"topologie": "split"})


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_the_cluster_file_fits_the_schema_that_ray_ships(path: Path) -> None:
    schema_path = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    schema = json.loads(schema_path.read_text())
    cluster = yaml.safe_load(path.read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(cluster)] == []


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_the_head_of_the_cluster_runs_no_replicas(path: Path) -> None:
    cluster = yaml.safe_load(path.read_text())
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert any(node["resources"].get("GPU") for node in cluster["available_node_types"].values())


@pytest.mark.parametrize("path", CLUSTER_FILES, ids=lambda path: path.name)
def test_the_launcher_takes_the_cluster_file_and_installs_nothing(path: Path) -> None:
    """What is left out it fills from defaults of the cloud's, in which there is a pip of its own for every start."""
    prepared = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(prepared)
    assert {name: prepared[name] for name in prepared if name.endswith("setup_commands")} == {
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
    }
    kinds = prepared["available_node_types"]
    assert set(kinds) == {"head", "cpu_worker", "gpu_worker"}


def test_the_cluster_files_differ_in_what_is_the_clouds_alone() -> None:
    def shared(path: Path) -> dict[str, Any]:
        cluster = yaml.safe_load(path.read_text())
        del cluster["provider"]
        for kind in cluster["available_node_types"].values():
            del kind["node_config"]
        return dict(cluster)

    first, second = map(shared, CLUSTER_FILES)
    assert first == second


def test_on_google_cloud_a_machine_with_a_gpu_is_not_moved_while_it_runs() -> None:
    kinds = yaml.safe_load((ROOT / "configs/cluster-gcp.yaml").read_text())["available_node_types"]
    assert kinds["gpu_worker"]["node_config"]["scheduling"] == {"onHostMaintenance": "TERMINATE"}
    for kind in kinds.values():
        [disk] = kind["node_config"]["disks"]
        assert disk["boot"]


def test_serve_validates_what_a_file_gives_the_graph() -> None:
    """Serve hands a plain dict to a builder whose annotation it cannot read."""
    graph = call_user_app_builder_with_args_if_necessary(build, {"topology": "split", "proxy_port": "8000"})
    names = {deployment.name for deployment in build_app(graph, name="darkroom", default_runtime_env={}).deployments}
    assert {
        "Embedding",
        "Tagging",
        "Faces",
        "Clustering",
        "Dedup",
        "Stylizing",
        "Prompting",
        "Segmentation",
        "Avatars",
        "Texts",
    } <= names


@pytest.mark.parametrize("path", SERVE_FILES, ids=lambda path: path.name)
def test_a_full_replica_has_room_for_its_health_checks(path: Path) -> None:
    """Serve lets an actor have as many calls at once as its deployment takes requests, or Ray's default if that is
    more: a check would be one too many."""
    [application] = _serve_config(path)["applications"]
    graph = build(Args.model_validate(application.get("args", {})))
    built = build_app(graph, name="darkroom", default_runtime_env={}).deployments
    stated = {entry["name"]: entry for entry in application.get("deployments", [])}
    for deployment in built:
        most = stated.get(deployment.name, {}).get("max_ongoing_requests", deployment.max_ongoing_requests)
        assert most <= DEFAULT_MAX_CONCURRENCY_ASYNC * 0.9, deployment.name


def test_in_a_cluster_migrating_is_a_step_before_the_processes_of_a_version() -> None:
    [application] = _serve_config(ROOT / "configs/production.yaml")["applications"]
    assert application["runtime_env"]["env_vars"]["DARKROOM_DATABASE__MIGRATE_AT_START"] == "false"
    commands = yaml.safe_load((ROOT / "cluster.yaml").read_text())["head_start_ray_commands"]
    assert commands.index("darkroom migrate") < next(
        place for place, one in enumerate(commands) if "ray-head.sh" in one
    )
    pods = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
    [step] = pods["headGroupSpec"]["template"]["spec"]["initContainers"]
    assert step["command"] == ["darkroom", "migrate"]
