"""What is deployed: a folder that stands alone, and settings that are checked before a request comes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bench.server import free_port
from configs.animals import load_animals
from tests.cloud_function.conftest import SOURCE, Function, running

REQUIREMENTS = [Requirement(line) for line in (SOURCE / "requirements.txt").read_text().splitlines()]


def imported(file: Path) -> set[str]:
    """The modules that a file imports, in full."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_it_imports_itself_the_standard_library_and_what_its_requirements_bring() -> None:
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
    return [distribution.lower() for distribution in packages_distributions().get(top, [])]


_STANDARD = sys.stdlib_module_names | {"__future__"}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_what_the_tests_run_with_is_in_the_range_that_is_deployed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(version(requirement.name))
    assert any(clause.operator == "<" for clause in requirement.specifier)


def test_it_knows_the_animals_of_darkroom() -> None:
    source = (SOURCE / "animals.py").read_text()
    animals = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ANIMALS"
    )
    assert set(animals) == set(load_animals())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AVATAR_BUCKET": None}, "AVATAR_BUCKET is not set"),
        ({"GOOGLE_CLOUD_PROJECT": ""}, "GOOGLE_CLOUD_PROJECT is not set"),
        ({"AVATAR_DEADLINE_S": "soon"}, "AVATAR_DEADLINE_S is not a number above 0"),
        ({"AVATAR_MAX_BYTES": "-1"}, "AVATAR_MAX_BYTES is not a number above 0"),
        ({"AVATAR_URLS": "private"}, "AVATAR_URLS is neither public nor signed"),
    ],
)
def test_it_does_not_start_with_settings_that_make_no_sense(
    tmp_path: Path, changes: dict[str, str | None], said: str
) -> None:
    environment = {"PATH": os.environ["PATH"], "GOOGLE_CLOUD_PROJECT": "album", "AVATAR_BUCKET": "b"} | changes
    with running(tmp_path, free_port(), environment) as (process, log):
        assert process.wait(60) == 1
    assert log.read_text().splitlines() == [f"The function cannot start: {said}{_REST.get(said, '')}."]


_REST = {
    "AVATAR_BUCKET is not set": ": the Cloud Storage bucket that pictures go to",
    "GOOGLE_CLOUD_PROJECT is not set": ": the project that pays for Vertex AI",
}


def test_it_ends_at_once_when_it_is_told_to(start: Callable[..., object]) -> None:
    with start() as function:  # type: ignore[attr-defined]
        assert isinstance(function, Function)
        function.process.terminate()
        assert function.process.wait(10) in (0, -15)


def test_the_readme_lists_every_variable_and_no_other() -> None:
    pattern = r"\b((?:AVATAR|GOOGLE_CLOUD|VISION|VERTEX)_[A-Z_]+[A-Z])\b"
    read = set(re.findall(pattern, (SOURCE / "settings.py").read_text()))
    assert set(re.findall(pattern, (SOURCE / "README.md").read_text())) == read


def test_the_example_of_the_readme_names_the_function_that_there_is() -> None:
    readme = (SOURCE / "README.md").read_text()
    assert "--entry-point=generate_animal_avatar" in readme
    assert "def generate_animal_avatar(" in (SOURCE / "main.py").read_text()
    subprocess.run(["bash", "-n"], input="\n".join(re.findall(r"```sh\n(.*?)```", readme, re.S)), text=True, check=True)
