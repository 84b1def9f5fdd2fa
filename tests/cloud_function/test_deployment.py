"""Deployment of the cloud function: a folder that stands alone, and settings that are checked before a request
comes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from bench.server import free_port
from deployments.assets.animals import load_animals
from tests.cloud_function.conftest import SOURCE, running

REQUIREMENTS = [Requirement(line) for line in (SOURCE / "requirements.txt").read_text().splitlines()]


def imported(file: Path) -> set[str]:
    """List the modules that a file imports, in full."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_function_imports_itself_the_standard_library_and_its_requirements() -> None:
    own = {file.stem for file in SOURCE.glob("*.py")}
    foreign = {
        name for file in SOURCE.glob("*.py") for name in imported(file) if name.split(".")[0] not in own | _STANDARD
    }
    # requests, grpc, flask and werkzeug, google.auth and google.api_core come with Google's libraries.
    brought = {"functions-framework", "google-cloud-storage", "google-cloud-vision", "google-genai", "httpx", "pillow"}
    with_these = {"flask", "werkzeug", "grpcio", "requests", "google-auth", "google-api-core"}
    assert {requirement.name for requirement in REQUIREMENTS} == brought
    for name in foreign:
        assert set(_distributions(name)) & (brought | with_these), name


def _distributions(name: str) -> list[str]:
    top = name.split(".")[0]
    if top == "google":
        known = {"google.genai": "google-genai", "google.auth": "google-auth", "google.oauth2": "google-auth"}
        known |= {"google.api_core": "google-api-core", "google.cloud.storage": "google-cloud-storage"}
        known |= {"google.cloud.vision": "google-cloud-vision"}
        return [found for prefix, found in known.items() if name.startswith(prefix)]
    return [distribution.lower() for distribution in _packages().get(top, [])]


@cache
def _packages() -> dict[str, list[str]]:
    return dict(packages_distributions())


_STANDARD = sys.stdlib_module_names | {"__future__"}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_the_tested_versions_are_in_the_range_that_is_deployed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(version(requirement.name))
    assert any(clause.operator == "<" for clause in requirement.specifier)


def test_the_function_knows_the_animals_of_darkroom() -> None:
    source = (SOURCE / "animals.py").read_text()
    animals = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ANIMALS"
    )
    assert set(animals) == set(load_animals())


def own_module(name: str) -> ModuleType:
    """Load a module of the function that imports none of its others."""
    spec = spec_from_file_location(f"cloud_function_{name}", SOURCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AVATAR_BUCKET": ""}, "AVATAR_BUCKET is not set: the Cloud Storage bucket that pictures go to."),
        ({"GOOGLE_CLOUD_PROJECT": ""}, "GOOGLE_CLOUD_PROJECT is not set: the project that pays for Vertex AI."),
        ({"AVATAR_DEADLINE_S": "soon"}, "AVATAR_DEADLINE_S is not a number above 0 and up to 3600."),
        ({"AVATAR_DEADLINE_S": "1e300"}, "AVATAR_DEADLINE_S is not a number above 0 and up to 3600."),
        ({"AVATAR_MAX_BYTES": "-1"}, "AVATAR_MAX_BYTES is not a number above 0 and up to 2147483648."),
        ({"AVATAR_MAX_FACES": "0.5"}, "AVATAR_MAX_FACES is not a whole number."),
        ({"AVATAR_URL_TTL_S": "604801"}, "AVATAR_URL_TTL_S is not a number above 0 and up to 604800."),
        ({"AVATAR_URLS": "private"}, "AVATAR_URLS is neither public nor signed."),
    ],
)
def test_settings_that_make_no_sense_are_named(changes: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        own_module("settings").read_settings({"GOOGLE_CLOUD_PROJECT": "album", "AVATAR_BUCKET": "b"} | changes)


def test_the_function_does_not_start_with_settings_that_make_no_sense(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "GOOGLE_CLOUD_PROJECT": "album"}
    with running(tmp_path, free_port(), environment) as (process, log):
        assert process.wait(60) == 1
    [line] = log.read_text().splitlines()
    assert line.startswith("The function cannot start: AVATAR_BUCKET is not set")


def test_requests_at_once_take_little_more_memory_than_one() -> None:
    """Measure the memory for an image of 6 million pixels, in a process of its own."""
    script = """
import io, resource, sys, threading
from PIL import Image
from pictures import normalise
file = io.BytesIO()
Image.new("RGBA", (3000, 2000), "red").save(file, "PNG", compress_level=1)
def peak(requests):
    threads = [threading.Thread(target=normalise, args=(file.getvalue(), 10**8)) for _ in range(requests)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak(1), peak(4))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True, check=True)
    one, four = map(int, ended.stdout.split())
    assert four < 1.5 * one


def test_the_readme_lists_every_variable_and_no_other() -> None:
    pattern = r"\b((?:AVATAR|GOOGLE_CLOUD|VISION|VERTEX)_[A-Z_]+[A-Z])\b"
    read = set(re.findall(pattern, (SOURCE / "settings.py").read_text()))
    assert set(re.findall(pattern, (SOURCE / "README.md").read_text())) == read


def test_the_example_of_the_readme_names_the_function_that_there_is() -> None:
    readme = (SOURCE / "README.md").read_text()
    assert "--entry-point=generate_animal_avatar" in readme
    assert "def generate_animal_avatar(" in (SOURCE / "main.py").read_text()
    subprocess.run(["bash", "-n"], input="\n".join(re.findall(r"```sh\n(.*?)```", readme, re.S)), text=True, check=True)
