"""The table of capabilities names what exists."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

from configs.settings import Deadlines
from deployments.bundle import Bundle
from deployments.capabilities import BUNDLED, CAPABILITIES

PRODUCTION = Path(__file__).parents[2] / "configs" / "production.yaml"


@pytest.mark.parametrize("name", CAPABILITIES)
def test_a_capability_names_a_class_with_a_health_check_and_a_deadline(name: str) -> None:
    capability = CAPABILITIES[name]
    assert inspect.iscoroutinefunction(capability.load().check_health)
    assert get_type_hints(Deadlines)[capability.deadline] is float


@pytest.mark.parametrize("name", BUNDLED)
def test_the_bundle_holds_the_class_of_every_capability_that_all_topologies_have(name: str) -> None:
    assert f"self._{name} = {CAPABILITIES[name].load().__name__}(" in inspect.getsource(Bundle.__init__)


def test_production_configures_every_deployment_of_the_table() -> None:
    [application] = yaml.safe_load(PRODUCTION.read_text())["applications"]
    configured = {entry["name"] for entry in application["deployments"]}
    assert {capability.deployment for capability in CAPABILITIES.values()} == configured - {"Ingress", "Worker"}
