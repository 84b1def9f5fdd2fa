"""Headers of model files: what can be read, what is refused, and that no pickle runs anything."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("diffusers")

import numpy as np
import torch
from safetensors.torch import save_file

from deployments.engines.diffusion import headers, pickles
from deployments.engines.diffusion.families import UNKNOWN
from deployments.engines.diffusion.headers import addnet_hash, identify_model, load_tensors, read_header, read_metadata
from deployments.errors import DarkroomError, NotSupported, WeightsMissing
from tests.support.hostile import Boom
from tests.support.real_shapes import CONTROLNETS, write

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


class Callback:
    """Stands for what pytorch-lightning pickled into its checkpoints."""

    def __init__(self) -> None:
        self.best = {"score": torch.tensor(0.5)}


@pytest.fixture(params=["archive", "legacy"])
def is_archive(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "archive")


def save(content: Any, path: Path, is_archive: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_archive)
    return path


def test_a_pickle_has_the_same_header_and_tensors_as_the_safetensors_file(tmp_path: Path, is_archive: bool) -> None:
    save_file(TENSORS, str(tmp_path / "one.safetensors"))
    pickled = save({"state_dict": TENSORS, "epoch": 3}, tmp_path / "one.ckpt", is_archive)
    assert (
        read_header(pickled).shapes
        == read_header(tmp_path / "one.safetensors").shapes
        == {"a.weight": (2, 3), "b": (4,)}
    )
    for name, tensor in load_tensors(pickled).items():
        assert torch.equal(tensor, TENSORS[name])
        assert tensor.dtype == TENSORS[name].dtype


def test_a_checkpoint_of_a_training_framework_is_read_without_its_classes(tmp_path: Path, is_archive: bool) -> None:
    content = {
        "callbacks": {Callback: Callback(), "paths": [Path("x")]},
        "hyper_parameters": {"made": Callback()},
        "state_dict": {name: torch.nn.Parameter(tensor, requires_grad=False) for name, tensor in TENSORS.items()},
    }
    path = save(content, tmp_path / "lightning.ckpt", is_archive)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    assert read_header(path).shapes == {"a.weight": (2, 3), "b": (4,)}
    assert torch.equal(load_tensors(path)["a.weight"], TENSORS["a.weight"])


@pytest.mark.parametrize("name", ["evil.ckpt", "evil.pt", "evil.safetensors"])
@pytest.mark.parametrize(
    "make",
    [
        lambda mark: Boom(os.system, f"touch {mark}"),
        lambda mark: Boom(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: Boom(exec, f"open({str(mark)!r}, 'w')"),
        lambda mark: Boom(open, str(mark), "w"),
    ],
)
def test_a_pickle_that_would_run_code_is_never_loaded(tmp_path: Path, is_archive: bool, name: str, make: Any) -> None:
    mark = tmp_path / "ran"
    path = save({"state_dict": TENSORS, "x": make(mark)}, tmp_path / name, is_archive)
    for read in (read_header, load_tensors):
        with pytest.raises(NotSupported, match=rf"{name}.*would run code"):
            read(path)
    assert not mark.exists()


def test_an_unknown_function_in_a_pickle_is_not_called(tmp_path: Path, is_archive: bool) -> None:
    mark = tmp_path / "ran"
    path = save({"state_dict": TENSORS, "x": Boom(Path.touch, mark)}, tmp_path / "one.ckpt", is_archive)
    load_tensors(path)
    assert not mark.exists()


def test_a_bare_pickle_is_no_model_file_and_what_it_would_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Boom(os.system, "true")))
    with pytest.raises(NotSupported, match="system"):
        load_tensors(tmp_path / "bare.ckpt")
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(TENSORS))
    with pytest.raises(WeightsMissing, match="bare"):
        load_tensors(tmp_path / "bare.ckpt")


def test_a_file_that_is_being_written_is_missing_weights_with_the_bytes_that_lack(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_file(TENSORS, str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(WeightsMissing, match=r"one\.safetensors.* 5 bytes are missing"):
        read_header(path)
    path.write_bytes(whole)
    assert read_header(path).shapes


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}).encode().ljust(0x280)
    (tmp_path / "one.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert read_header(tmp_path / "one.safetensors").shapes == {"a": (2,)}


def test_a_real_header_of_a_sparse_file_is_read_without_its_gigabytes(tmp_path: Path) -> None:
    path = write(tmp_path / "diffusers_xl_depth_mid.safetensors", CONTROLNETS["controlnet", "sdxl", "mid"]())
    assert path.stat().st_size > 500 * 2**20
    assert identify_model(path).label == "a ControlNet for SDXL"


def test_a_file_in_another_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "flux.gguf.safetensors").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(NotSupported, match="GGUF"):
        read_header(tmp_path / "flux.gguf.safetensors")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_an_error_that_names_the_file(tmp_path_factory: Any, content: bytes) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "any.ckpt"
    path.write_bytes(content)
    with pytest.raises(DarkroomError, match=r"any\.ckpt"):
        read_header(path)


@given(st.data())
def test_any_cut_of_an_archive_is_an_error_that_names_the_file(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = Path(tmp_path_factory.getbasetemp())
    torch.save(TENSORS, folder / "whole.pt")
    whole = (folder / "whole.pt").read_bytes()
    (folder / "cut.pt").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DarkroomError, match=r"cut\.pt"):
        load_tensors(folder / "cut.pt")


def test_an_archive_of_torchscript_is_no_model_file(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "one.pt")
    with zipfile.ZipFile(tmp_path / "one.pt", "a") as archive:
        archive.writestr("one/constants.pkl", b"")
    with pytest.raises(WeightsMissing):
        load_tensors(tmp_path / "one.pt")


def test_the_addnet_hash_leaves_the_header_out(tmp_path: Path) -> None:
    save_file(TENSORS, str(tmp_path / "one.safetensors"), {"ss_output_name": "one"})
    save_file(TENSORS, str(tmp_path / "two.safetensors"), {"ss_output_name": "another name"})
    assert addnet_hash(tmp_path / "one.safetensors") == addnet_hash(tmp_path / "two.safetensors") != ""
    assert read_metadata(tmp_path / "two.safetensors") == {"ss_output_name": "another name"}
    assert addnet_hash(save(TENSORS, tmp_path / "one.pt", True)) == ""


def with_header(path: Path, header: bytes, tail: int = 64) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(tail))
    return path


def an_entry(shape: str, *, dtype: str = "F32", offsets: str = "[0, 8]") -> bytes:
    return f'{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}'.encode()


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DEEP_TEXTS = b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "header",
    [DEEP, DEEP_TEXTS, an_entry("[1e999]"), an_entry("[NaN]"), an_entry("[2]", offsets="[0, 1e999]"), b'{"a": 5}'],
)
def test_a_header_that_no_library_writes_is_an_error_that_names_the_file(tmp_path: Path, header: bytes) -> None:
    path = with_header(tmp_path / "odd.safetensors", header)
    for read in (read_header, identify_model, load_tensors):
        with pytest.raises(WeightsMissing, match="odd"):
            read(path)
    assert read_metadata(path) == {}
    assert isinstance(addnet_hash(path), str)


@pytest.mark.parametrize(
    "header",
    [
        an_entry("[2]", dtype="F99"),
        an_entry("[3]"),
        an_entry("[-2]"),
        an_entry("[2]", offsets="[8, 16]"),
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, '
        b'"b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}',
    ],
)
def test_tensors_that_are_not_where_the_header_says_are_an_error_that_names_the_file(
    tmp_path: Path, header: bytes
) -> None:
    with pytest.raises(WeightsMissing, match="odd"):
        load_tensors(with_header(tmp_path / "odd.safetensors", header))


@pytest.mark.parametrize(
    "name",
    ["model.diffusion_model.label_emb.0.0.weight", "conv_in.weight", "clip_g", "adapter.conv_in.weight", "x.lora_up.w"],
)
def test_tensors_without_any_side_are_identified_too(tmp_path: Path, name: str) -> None:
    others = ("model.diffusion_model.input_blocks.0.0.weight", "up_blocks.0.x", "add_embedding.linear_1.weight")
    for other in others:
        save_file({name: torch.tensor(1.0), other: torch.tensor(1.0)}, str(tmp_path / "odd.safetensors"))
        identify_model(tmp_path / "odd.safetensors")


@pytest.mark.parametrize("config", ["[]", "5", "null", "[" * 100_000])
def test_a_folder_whose_configuration_is_none_is_unknown(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    assert identify_model(tmp_path) == UNKNOWN


def test_a_file_that_goes_between_header_and_tensors_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(TENSORS, str(tmp_path / "one.safetensors"))
    monkeypatch.setattr(headers, "read_header", lambda path: path.unlink())
    with pytest.raises(WeightsMissing, match="one"):
        load_tensors(tmp_path / "one.safetensors")


class Storage:
    """Stands for the first storage of an archive, of four numbers."""


def an_archive(path: Path, content: Any, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write an archive as torch does, of a pickle (bytes), or of what is pickled, around `Storage`."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, 2)
    is_storage = ("storage", torch.FloatStorage, "0", "cpu", 4)
    pickler.persistent_id = lambda one: is_storage if isinstance(one, Storage) else None  # type: ignore[method-assign]
    pickler.dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("one/data.pkl", content if isinstance(content, bytes) else stream.getvalue())
        archive.writestr("one/version", b"3\n")
        archive.writestr("one/data/0", np.arange(4, dtype=np.float32).tobytes())
    return path


def a_tensor(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Boom:
    return Boom(torch._utils._rebuild_tensor_v2, Storage(), offset, size, stride, False, OrderedDict())


def test_a_tensor_is_a_view_of_its_storage(tmp_path: Path) -> None:
    path = an_archive(tmp_path / "one.ckpt", {"a": a_tensor(0, (2, 2), (1, 2)), "b": a_tensor(4, (0,), (1,))})
    loaded = load_tensors(path)
    assert loaded["a"].tolist() == [[0, 2], [1, 3]]
    assert loaded["b"].shape == (0,)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (0, (10**6, 10**6), (0, 0)),
        (3, (2,), (-1,)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_or_larger_than_it_is_not_loaded(
    tmp_path: Path, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    path = an_archive(tmp_path / "odd.ckpt", {"a": a_tensor(offset, size, stride)})
    with pytest.raises(WeightsMissing, match="odd"):
        load_tensors(path)


def test_a_pickle_cannot_change_the_functions_that_build_tensors(tmp_path: Path) -> None:
    state = b"N}X\x0c\x00\x00\x00__defaults__K\x05\x85s\x86"
    hostile = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b."
    before = torch._utils._rebuild_tensor_v2.__defaults__
    path = an_archive(tmp_path / "odd.ckpt", hostile)
    load_tensors(path)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before


def test_dictionaries_that_hold_each_other_many_times_are_listed_once(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": a_tensor(0, (2, 2), (2, 1))}
    for _ in range(7):
        content = {str(place): content for place in range(200)}
    path = an_archive(tmp_path / "nested.ckpt", content)
    assert read_header(path).shapes == {"0.0.0.0.0.0.0.a": (2, 2)}
    assert len(load_tensors(path)) == 1


def test_the_number_that_an_object_is_noted_under_takes_no_memory(tmp_path: Path) -> None:
    path = an_archive(tmp_path / "noted.ckpt", b"\x80\x02]r\xff\xff\xff\x00.")
    tracemalloc.start()
    try:
        assert read_header(path).shapes == load_tensors(path) == {}
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_archive_is_no_model_file(tmp_path: Path, compression: int) -> None:
    path = an_archive(tmp_path / "bomb.ckpt", b"\x80\x02(" + b"]" * 10**6 + b"t.", compression)
    for read in (read_header, load_tensors):
        with pytest.raises(WeightsMissing, match="bomb"):
            read(path)


def test_a_pickle_without_end_is_no_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "_LARGEST_PICKLE", 1000)
    torch.save({str(place): 1 for place in range(1000)}, tmp_path / "long.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsMissing, match="long"):
        read_header(tmp_path / "long.ckpt")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit", "ignore:.*TorchScript")
def test_an_archive_of_torchscript_that_hides_its_code_from_python_is_not_run(tmp_path: Path) -> None:
    class Module(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.jit.save(torch.jit.script(Module()), str(tmp_path / "script.pt"))
    with zipfile.ZipFile(tmp_path / "script.pt") as script, zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("script/padding", bytes(2**14))
        for name in script.namelist():
            archive.writestr(name, script.read(name))
    whole = (tmp_path / "odd.pt").read_bytes()
    begin, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    parts = whole[begin:end].replace(b"constants.pkl", b"unsuspect.pkl").split(b"PK\1\2")
    listed = b""  # where Python looks for the members: right before the end, with places that count from there
    for part in parts[1:]:
        place = max(0, int.from_bytes(part[38:42], "little") - (end - begin))
        listed += b"PK\1\2" + part[:38] + place.to_bytes(4, "little") + part[42:]
    (tmp_path / "odd.pt").write_bytes(whole[:end] + listed + whole[end:])
    assert read_header(tmp_path / "odd.pt").shapes == {}
    with pytest.raises(WeightsMissing, match="odd"):
        load_tensors(tmp_path / "odd.pt")


def test_an_archive_of_tar_is_no_model_file_whatever_its_members_are_called(tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"
    beginning = pickles.LEGACY_MAGIC + b"K\x01.K\x02.}."
    info = tarfile.TarInfo(beginning.decode(errors="surrogateescape"))
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT, errors="surrogateescape") + bytes(2**10))
    with pytest.raises(WeightsMissing, match="odd"):
        pickles.load_tensors(path)


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_a_tensor_with_one_side_of_nothing_beside_others_is_not_loaded(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"small.{form}"
    tensors = {"conv.weight": torch.zeros(2**30, 0, 3, 3)}
    if form == "pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, str(path))
    with pytest.raises(WeightsMissing, match=r"small.*conv\.weight"):
        load_tensors(path)


def test_a_tensor_without_content_is_a_mark(tmp_path: Path) -> None:
    save_file({"ztsnr": torch.zeros(0)}, str(tmp_path / "mark.safetensors"))
    assert list(load_tensors(tmp_path / "mark.safetensors")) == ["ztsnr"]
