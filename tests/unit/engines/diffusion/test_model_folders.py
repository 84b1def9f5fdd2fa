"""Where model files are found: Darkroom's folders, A1111's, and sub-folders of both; and what each is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.diffusion.catalogue import Catalogue
from deployments.engines.diffusion.model_folders import KINDS, FoundFile, annotator_folders, find_files, names_of


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def found(folder: Path) -> dict[str, list[str]]:
    return {kind: names_of(find_files(folder, kind)) for kind in KINDS}


A1111 = (
    "models/Stable-diffusion/SD1.5/anylora.safetensors",
    "models/Stable-diffusion/nai.ckpt",
    "models/Stable-diffusion/nai.vae.pt",
    "models/Lora/style/a.safetensors",
    "models/LyCORIS/b.safetensors",
    "models/VAE/mse.ckpt",
    "models/ControlNet/canny.pth",
    "models/ESRGAN/4x-UltraSharp.pth",
    "models/RealESRGAN/RealESRGAN_x4plus.pth",
    "models/GFPGAN/GFPGANv1.4.pth",
    "models/GFPGAN/detection_Resnet50_Final.pth",
    "models/Codeformer/codeformer-v0.1.0.pth",
    "embeddings/neg/easynegative.pt",
    "extensions/sd-webui-controlnet/models/depth.safetensors",
    "models/Stable-diffusion/Put Stable Diffusion checkpoints here.txt",
)
EXPECTED = {
    "checkpoints": ["nai", "anylora"],
    "loras": ["b", "a"],
    "controlnets": ["canny"],
    "vaes": ["mse", "nai.vae"],
    "embeddings": ["easynegative"],
    "upscalers": ["4x-UltraSharp", "RealESRGAN_x4plus"],
    "restorers": ["codeformer-v0.1.0", "GFPGANv1.4"],
}


def test_the_models_of_an_installation_of_a1111_are_found(tmp_path: Path) -> None:
    touch(tmp_path, *A1111)
    assert found(tmp_path / "models") == EXPECTED
    whole = found(tmp_path)
    assert whole.pop("controlnets") == ["depth", "canny"]
    assert whole == {kind: names for kind, names in EXPECTED.items() if kind != "controlnets"}


def test_a_folder_beside_the_models_is_not_looked_into_without_a1111s_layout(tmp_path: Path) -> None:
    touch(tmp_path, "embeddings/other.pt", "models/checkpoints/a.safetensors")
    assert found(tmp_path / "models")["embeddings"] == []


def test_files_of_one_stem_and_of_one_name_have_names_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "checkpoints", "a.ckpt", "a.safetensors", "x/a.safetensors", "y/a.safetensors", "y/a.ckpt")
    files = find_files(tmp_path, "checkpoints")
    assert dict(zip(names_of(files), (one.relative for one in files), strict=True)) == {
        "a": "a.safetensors",
        "a.ckpt": "a.ckpt",
        "a.safetensors": "x/a.safetensors",
        "y/a": "y/a.safetensors",
        "y/a.ckpt": "y/a.ckpt",
    }
    catalogue = Catalogue(tmp_path, "a")
    for name, relative in (("a", "a.safetensors"), ("a.ckpt", "a.ckpt"), ("y/a.ckpt", "y/a.ckpt")):
        assert catalogue.find("checkpoints", name).relative == relative


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "x/", "x/y/"]), st.sampled_from("abA"), st.sampled_from([".safetensors", ".ckpt"])
        ),
    )
)
def test_every_file_has_a_name_and_no_two_have_the_same(parts: list[tuple[str, str, str]]) -> None:
    files = [FoundFile(Path("/m") / "".join(one), "".join(one), 1, 1) for one in parts]
    names = names_of(files)
    assert len({name.lower() for name in names}) == len(files)


@pytest.mark.parametrize("name", ["deep/" * 9 + "a.safetensors", ".git/a.safetensors", "notes.txt"])
def test_what_lies_too_deep_or_hidden_is_not_found(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "loras", name)
    assert find_files(tmp_path, "loras") == []


def test_a_folder_of_two_thousand_files_is_listed(tmp_path: Path) -> None:
    touch(tmp_path / "loras", *(f"s{place % 7}/style_{place}.safetensors" for place in range(2000)))
    assert len(Catalogue(tmp_path, "a").models("loras")) == 2000


def test_a_link_that_leads_nowhere_or_round_hides_no_other_file(tmp_path: Path) -> None:
    names = [f"{place:02}.safetensors" for place in range(20)]
    touch(tmp_path / "loras", *names)
    for place in range(20):
        (tmp_path / "loras" / f"gone_{place}.safetensors").symlink_to(tmp_path / "nowhere")
        (tmp_path / "loras" / f"loop_{place}.safetensors").symlink_to(f"loop_{place}.safetensors")
    assert sorted(one.relative for one in find_files(tmp_path, "loras")) == names


def test_links_to_a_folder_above_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "loras", "a.safetensors", "sub/b.safetensors")
    for place in range(12):
        (tmp_path / "loras" / "sub" / f"up_{place}").symlink_to(tmp_path / "loras")
    assert [one.relative for one in find_files(tmp_path, "loras")] == ["a.safetensors", "sub/b.safetensors"]


def test_a_link_to_files_elsewhere_is_followed(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.safetensors")
    touch(tmp_path / "loras", "b.safetensors")
    (tmp_path / "loras" / "linked").symlink_to(tmp_path / "elsewhere")
    assert names_of(find_files(tmp_path, "loras")) == ["b", "a"]


def test_a_pipe_is_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "loras").mkdir()
    os.mkfifo(tmp_path / "loras" / "pipe.safetensors")
    assert find_files(tmp_path, "loras") == []


def test_a_name_in_another_encoding_can_be_told(tmp_path: Path) -> None:
    touch(tmp_path / "loras", os.fsdecode(b"gr\xfcn.safetensors"))
    [file] = find_files(tmp_path, "loras")
    assert file.path.exists()
    assert names_of([file]) == ["gr\N{REPLACEMENT CHARACTER}n"]


def test_files_that_differ_in_case_or_place_only_have_names_without_their_place(tmp_path: Path) -> None:
    touch(tmp_path / "checkpoints", "ab.ckpt", "aB.ckpt", "Ab.ckpt", "AB.ckpt")
    touch(tmp_path / "Stable-diffusion", "ab.ckpt")
    names = names_of(find_files(tmp_path, "checkpoints"))
    assert len({name.lower() for name in names}) == 5
    assert not any("/" in name for name in names)


def test_weights_of_preprocessors_are_found_where_a1111_and_forge_have_them(tmp_path: Path) -> None:
    touch(tmp_path, "models/Stable-diffusion/a.safetensors")
    folders = [folder.resolve().relative_to(tmp_path).as_posix() for folder in annotator_folders(tmp_path / "models")]
    assert folders[0] == "models/annotators"
    assert {"models/ControlNetPreprocessor", "extensions/sd-webui-controlnet/annotator/downloads"} <= set(folders)
    assert tmp_path / "extensions/sd-webui-controlnet/annotator/downloads" in annotator_folders(tmp_path)
    assert not any(".." in folder.parts for folder in annotator_folders(tmp_path / "elsewhere"))
