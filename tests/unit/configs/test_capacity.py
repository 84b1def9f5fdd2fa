"""configs/production.yaml added up against the nodes of cluster.yaml and rayservice.yaml: processors, GPUs, memory, and
connections against PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.settings import DatabaseOptions

ROOT = Path(__file__).parents[3]
POSTGRES_CONNECTIONS = 100
"""`max_connections` of PostgreSQL's own default."""
KEPT_CONNECTIONS = 3 + 5
"""Those that PostgreSQL keeps for superusers, and some for `darkroom migrate`, backups and people."""
POOLED = ("Ingress", "Worker")
"""Deployments with connections to the database."""
RAYS_SHARE = 0.7
"""Share of a container's memory that replicas may ask for; KubeRay gives all of it, and the object store needs some."""
Resources = dict[str, float]
Serving = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Nodes:
    """One kind of worker node: what each has, and how many there are."""

    each: Resources
    fewest: int
    most: int


def serving() -> Serving:
    [application] = yaml.safe_load((ROOT / "configs/production.yaml").read_text())["applications"]
    return {entry["name"]: entry for entry in application["deployments"]}


def of_launcher(file: str) -> list[Nodes]:
    types = yaml.safe_load((ROOT / file).read_text())["available_node_types"]
    workers = [one for name, one in types.items() if name != "head"]
    return [Nodes(one["resources"], one["min_workers"], one["max_workers"]) for one in workers]


def of_kubernetes() -> list[Nodes]:
    found = []
    spec = yaml.safe_load((ROOT / "configs/rayservice.yaml").read_text())["spec"]["rayClusterConfig"]
    for group in spec["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        has: Resources = {"CPU": float(limits["cpu"]), "memory": float(limits["memory"].removesuffix("Gi")) * 2**30}
        has["memory"] *= RAYS_SHARE
        has["GPU"] = float(limits.get("nvidia.com/gpu", 0))
        has |= json.loads(json.loads(group["rayStartParams"].get("resources", '"{}"').strip("'")))
        found.append(Nodes(has, group["minReplicas"], group["maxReplicas"]))
    return found


def demand(entry: dict[str, Any]) -> Resources:
    options = entry["ray_actor_options"]
    own = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus", 0.0), "memory": options.get("memory", 0)}
    return own | options.get("resources", {})


def counts(entry: dict[str, Any]) -> tuple[int, int]:
    """Fewest and most replicas."""
    scaling = entry.get("autoscaling_config")
    return (scaling["min_replicas"], scaling["max_replicas"]) if scaling else (entry["num_replicas"],) * 2


def fits(entry: dict[str, Any], nodes: Nodes) -> bool:
    return all(wanted <= nodes.each.get(name, 0) for name, wanted in demand(entry).items())


def homes(entries: Serving, kinds: list[Nodes]) -> dict[str, Nodes]:
    """The one kind of node that each deployment can be on: nothing sits on a GPU node that could do without."""
    found = {name: [nodes for nodes in kinds if fits(entry, nodes)] for name, entry in entries.items()}
    assert {name: len(on) for name, on in found.items()} == dict.fromkeys(entries, 1)
    return {name: on[0] for name, on in found.items()}


def total(entries: Serving, replicas: dict[str, int]) -> Resources:
    found: Resources = {}
    for name, number in replicas.items():
        for resource, wanted in demand(entries[name]).items():
            found[resource] = found.get(resource, 0.0) + number * wanted
    return found


def assert_fits(wanted: Resources, nodes: Nodes, number: int) -> None:
    has = {name: number * amount for name, amount in nodes.each.items()}
    assert all(amount <= has.get(name, 0) for name, amount in wanted.items() if amount), (wanted, has)


LAUNCHED = ("cluster.yaml", "configs/cluster-gcp.yaml")
CLUSTERS = pytest.mark.parametrize(
    "kinds", [*map(of_launcher, LAUNCHED), of_kubernetes()], ids=[*LAUNCHED, "configs/rayservice.yaml"]
)


@CLUSTERS
@pytest.mark.parametrize("end", [0, 1], ids=["fewest", "most"])
def test_the_replicas_of_production_fit_the_nodes(kinds: list[Nodes], end: int) -> None:
    entries = serving()
    on = homes(entries, kinds)
    for nodes in kinds:
        replicas = {name: counts(entry)[end] for name, entry in entries.items() if on[name] is nodes}
        assert_fits(total(entries, replicas), nodes, (nodes.fewest, nodes.most)[end])


@CLUSTERS
def test_every_deployment_has_a_place_on_each_node_that_no_other_can_take(kinds: list[Nodes]) -> None:
    entries = serving()
    on = homes(entries, kinds)
    for nodes in kinds:
        places = {name: entry["max_replicas_per_node"] for name, entry in entries.items() if on[name] is nodes}
        assert_fits(total(entries, places), nodes, 1)


@CLUSTERS
def test_the_places_on_all_nodes_are_enough_for_the_replicas(kinds: list[Nodes]) -> None:
    entries = serving()
    on = homes(entries, kinds)
    for name, entry in entries.items():
        fewest, most = counts(entry)
        assert fewest <= entry["max_replicas_per_node"] * on[name].fewest, name
        assert most <= entry["max_replicas_per_node"] * on[name].most, name


@CLUSTERS
def test_gpu_nodes_are_there_for_diffusion_alone_and_end_with_it(kinds: list[Nodes]) -> None:
    entries = serving()
    on = homes(entries, kinds)
    gpu = [nodes for nodes in kinds if nodes.each.get("GPU")]
    assert [nodes.fewest for nodes in gpu] == [0]
    assert [name for name in entries if on[name] in gpu] == ["Diffusion"]
    assert counts(entries["Diffusion"])[0] == 0


@pytest.mark.parametrize("file", LAUNCHED)
def test_a_cluster_has_room_for_all_of_its_nodes(file: str) -> None:
    cluster = yaml.safe_load((ROOT / file).read_text())
    assert cluster["max_workers"] >= sum(nodes.most for nodes in of_launcher(file))


def test_the_connections_of_all_processes_fit_postgresqls_own_limit() -> None:
    [application] = yaml.safe_load((ROOT / "configs/production.yaml").read_text())["applications"]
    variables = application["runtime_env"]["env_vars"]
    options = DatabaseOptions(
        pool_size=int(variables["DARKROOM_DATABASE__POOL_SIZE"]),
        max_overflow=int(variables["DARKROOM_DATABASE__MAX_OVERFLOW"]),
    )
    processes = sum(counts(serving()[name])[1] for name in POOLED)
    assert processes * options.connections <= POSTGRES_CONNECTIONS - KEPT_CONNECTIONS
