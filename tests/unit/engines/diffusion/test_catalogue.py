"""The catalogue of models: which file each name means, and that none opens a path."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import pytest
from huggingface_hub import file_download
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.diffusion import hashes
from deployments.engines.diffusion.catalogue import Catalogue
from deployments.engines.diffusion.hashes import Hashes
from deployments.engines.diffusion.headers import read_metadata
from deployments.errors import WeightsMissing

HUB = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def a_safetensors(path: Path, metadata: dict[str, str] | None = None, tail: bytes = b"") -> None:
    header = json.dumps({"__metadata__": metadata or {}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + tail)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    a_safetensors(tmp_path / "checkpoints" / "dreamy v8.safetensors", tail=b"1")
    a_safetensors(tmp_path / "checkpoints" / "plain.safetensors", tail=b"2")
    (tmp_path / "checkpoints" / "folder").mkdir()
    (tmp_path / "checkpoints" / "folder" / "model_index.json").write_text("{}")
    (tmp_path / "checkpoints" / "notes.txt").write_text("no model")
    (tmp_path / "checkpoints" / ".hidden.safetensors").write_text("")
    a_safetensors(tmp_path / "loras" / "style_01.safetensors", {"ss_output_name": "Ghibli Style"})
    a_safetensors(tmp_path / "controlnets" / "control_v11p_sd15_canny.safetensors", tail=bytes(2**20 + 5))
    a_safetensors(tmp_path / "controlnets" / "control_v11p_sd15_canny_extra.safetensors")
    return tmp_path


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    return Catalogue(folder, HUB)


def test_models_are_files_and_folders_of_the_right_form(catalogue: Catalogue) -> None:
    assert [model.name for model in catalogue.models("checkpoints")] == ["dreamy v8", "folder", "plain", HUB]
    assert catalogue.models("vaes") == []


@pytest.mark.parametrize(
    "name",
    ["dreamy v8", "dreamy v8.safetensors", "DREAMY V8", " dreamy v8 ", "dreamy v8.safetensors [0123456789]"],
)
def test_a_checkpoint_goes_by_name_file_and_title(catalogue: Catalogue, name: str) -> None:
    assert catalogue.find("checkpoints", name).name == "dreamy v8"


def test_a_checkpoint_goes_by_its_hash(catalogue: Catalogue) -> None:
    sha256 = catalogue.sha256(catalogue.find("checkpoints", "plain"))
    assert catalogue.find("checkpoints", sha256[:10]).name == "plain"
    assert catalogue.find("checkpoints", sha256).name == "plain"


def test_a_lora_goes_by_the_name_of_its_training(catalogue: Catalogue) -> None:
    assert catalogue.find("loras", "ghibli style").name == "style_01"
    assert catalogue.describe("loras")[0].alias == "Ghibli Style"


def test_a_controlnet_goes_by_part_of_its_name_the_shortest_first(catalogue: Catalogue) -> None:
    assert catalogue.find("controlnets", "canny").name == "control_v11p_sd15_canny"
    assert catalogue.find("controlnets", "control_v11p_sd15_canny_extra").name.endswith("extra")


def test_the_short_hash_of_a_controlnet_is_that_of_a_piece_of_it(catalogue: Catalogue, folder: Path) -> None:
    content = (folder / "controlnets" / "control_v11p_sd15_canny.safetensors").read_bytes()
    short = hashlib.sha256(content[2**20 : 2**20 + 2**16]).hexdigest()[:8]
    assert catalogue.describe("controlnets")[0].alias == f"control_v11p_sd15_canny [{short}]"


@pytest.mark.parametrize(
    "name", ["", "   ", "nowhere", "../loras/style_01", "/etc/passwd", "notes.txt", "[0123456789]"]
)
def test_a_model_that_is_not_listed_is_missing(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(WeightsMissing, match="DARKROOM_DIFFUSION__MODELS_DIR"):
        catalogue.find("checkpoints", name)


@given(st.text(max_size=60))
def test_no_name_leads_out_of_the_list(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    empty = Catalogue(tmp_path_factory.getbasetemp() / "nothing", "one")
    assert all(empty.look_up(kind, name) is None for kind in ("checkpoints", "loras", "controlnets", "vaes"))


def test_the_configured_checkpoint_may_be_a_hub_name(catalogue: Catalogue) -> None:
    model = catalogue.default_checkpoint()
    assert (model.name, model.path, catalogue.sha256(model)) == (HUB, None, "")


def test_a_hub_name_in_a_request_is_no_model(folder: Path) -> None:
    assert Catalogue(folder, "plain").look_up("checkpoints", HUB) is None


def test_a_file_that_was_just_copied_in_is_there(catalogue: Catalogue, folder: Path) -> None:
    a_safetensors(folder / "checkpoints" / "new.safetensors")
    assert catalogue.find("checkpoints", "new").name == "new"


def test_a_damaged_header_is_no_metadata(catalogue: Catalogue, folder: Path) -> None:
    (folder / "loras" / "short.safetensors").write_bytes(b"\xff" * 12)
    (folder / "loras" / "text.safetensors").write_bytes((9).to_bytes(8, "little") + b"not json.")
    assert {model.alias for model in catalogue.describe("loras")} == {"Ghibli Style", "short", "text"}


def test_a_file_is_hashed_again_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert Hashes(tmp_path / "hashes.json").of(path) == hashlib.sha256(b"one").hexdigest()
    kept = json.loads((tmp_path / "hashes.json").read_text())
    (key,) = kept
    (tmp_path / "hashes.json").write_text(json.dumps({key: "remembered"}))
    assert Hashes(tmp_path / "hashes.json").of(path) == "remembered"
    path.write_bytes(b"other")
    assert Hashes(tmp_path / "hashes.json").of(path) == hashlib.sha256(b"other").hexdigest()


def test_a_store_of_hashes_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert Hashes(tmp_path / "no" / "such" / "hashes.json").of(path) == hashlib.sha256(b"one").hexdigest()


def test_no_list_waits_for_hashes_and_they_are_there_later(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def slowly(path: Path) -> str:
        go.wait(30)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setitem(hashes._WAYS, "", slowly)
    assert {model.sha256 for model in catalogue.describe("checkpoints")} == {""}
    plain = catalogue.find("checkpoints", "plain")
    assert catalogue.known_sha256(plain) == ""
    go.set()
    assert catalogue.hashes.wait(30)
    assert all(model.sha256 for model in catalogue.describe("checkpoints") if model.name in ("dreamy v8", "plain"))


def test_a_file_is_opened_once_while_it_stays_as_it_is(
    catalogue: Catalogue, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counted(path: Path) -> dict[str, str]:
        opened.append(path.name)
        return read_metadata(path)

    monkeypatch.setattr("deployments.engines.diffusion.catalogue.read_metadata", counted)
    for _ in range(3):
        assert catalogue.describe("loras")[0].alias == "Ghibli Style"
        assert catalogue.find("loras", "ghibli style")
    assert opened == ["style_01.safetensors"]
    a_safetensors(folder / "loras" / "style_01.safetensors", {"ss_output_name": "Another"}, tail=b"more")
    a_safetensors(folder / "loras" / "second.safetensors", {"ss_output_name": "Second"})
    assert {model.alias for model in catalogue.describe("loras")} == {"Another", "Second"}
    assert sorted(opened) == ["second.safetensors", "style_01.safetensors", "style_01.safetensors"]


@pytest.mark.parametrize("length", [10, 2**16, 2**18])
def test_texts_of_any_length_are_read_from_a_header(tmp_path: Path, length: int) -> None:
    a_safetensors(tmp_path / "one.safetensors", {"tags": "x" * length, "ss_output_name": "One"})
    assert read_metadata(tmp_path / "one.safetensors")["ss_output_name"] == "One"


def test_hashing_goes_on_after_a_file_whose_hash_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_safetensors(tmp_path / "odd.safetensors")
    a_safetensors(tmp_path / "good.safetensors")
    of_file = hashes._WAYS[""]

    def hash_all_but_the_odd(path: Path) -> str:
        if path.stem == "odd":
            raise RecursionError
        return of_file(path)

    monkeypatch.setitem(hashes._WAYS, "", hash_all_but_the_odd)
    known = Hashes(tmp_path / "hashes.json")
    assert known.known(tmp_path / "odd.safetensors") == ""
    known.known(tmp_path / "good.safetensors")
    assert known.wait(5)
    assert known.known(tmp_path / "good.safetensors") == of_file(tmp_path / "good.safetensors")


@pytest.mark.parametrize("stored", ["null", "[1]", "5", '"ab"', "[" * 100_000, '{"x": 5}', "{"])
def test_a_store_of_hashes_that_holds_something_else_is_begun_anew(tmp_path: Path, stored: str) -> None:
    (tmp_path / "hashes.json").write_text(stored)
    a_safetensors(tmp_path / "one.safetensors")
    assert len(Hashes(tmp_path / "hashes.json").of(tmp_path / "one.safetensors")) == 64


def test_a_model_without_its_file_does_not_hide_the_one_that_a_hash_means(folder: Path, catalogue: Catalogue) -> None:
    (folder / "checkpoints" / "folder" / "unet").mkdir()
    (folder / "checkpoints" / "folder" / "unet" / "diffusion_pytorch_model.safetensors").symlink_to(folder / "gone")
    found = catalogue.find("checkpoints", "plain")
    assert catalogue.look_up("checkpoints", catalogue.sha256(found)[:10]) == found


def test_the_configured_checkpoint_of_a_hub_is_here_once_it_lies_in_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(file_download.constants, "HF_HUB_CACHE", str(cache))
    catalogue = Catalogue(tmp_path / "models", "some/model")
    assert [one.is_here for one in catalogue.describe("checkpoints")] == [False]
    fetched = cache / "models--some--model"
    (fetched / "snapshots" / "abc").mkdir(parents=True)
    (fetched / "snapshots" / "abc" / "model_index.json").write_text("{}")
    (fetched / "refs").mkdir()
    (fetched / "refs" / "main").write_text("abc")
    assert [one.is_here for one in catalogue.describe("checkpoints")] == [True]
