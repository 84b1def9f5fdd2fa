"""Converters of weights against PyTorch: the same numbers go into a network written there and into the converted
file."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest

from deployments.weights.conversion import convert
from deployments.weights.conversion.dlib_resnet import INPUT_PX
from deployments.weights.conversion.state_dict import read_state_dict

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    yield
    torch.set_num_threads(before)


def saved(state: Any, *, archive: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=archive)
    return stream.getvalue()


def run(network: bytes, **inputs: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


@pytest.mark.parametrize("archive", [True, False], ids=["zip archive", "legacy stream"])
def test_a_checkpoint_is_read_as_torch_reads_it(archive: bool) -> None:
    base = torch.randn(6, 5)
    state = OrderedDict(
        plain=base,
        transposed=base.T,
        part_of_a_storage=base[1:4, 2:],
        whole_numbers=torch.arange(4),
        half=torch.randn(3).half(),
        scalar=torch.tensor(3.5),
        empty=torch.zeros(0, 2),
        parameter=nn.Parameter(torch.randn(2)),
    )
    loaded = read_state_dict(saved(state, archive=archive))
    assert list(loaded) == list(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(loaded[name], tensor.detach().numpy())
        assert loaded[name].dtype == tensor.detach().numpy().dtype


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code of the checkpoint ran')",))


@pytest.mark.parametrize("archive", [True, False], ids=["zip archive", "legacy stream"])
def test_code_in_a_checkpoint_does_not_run(archive: bool) -> None:
    with pytest.raises(ValueError, match="exec rebuilds no tensor"):
        read_state_dict(saved({"weight": Hostile()}, archive=archive))


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", pickle.dumps({"a": 1}), saved({"a": "text"})])
def test_a_file_that_is_no_state_dict_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="state dict"):
        read_state_dict(data)


def test_a_cut_checkpoint_is_refused() -> None:
    whole = saved(OrderedDict(weight=torch.randn(64, 64)), archive=False)
    with pytest.raises(ValueError, match="state dict"):
        read_state_dict(whole[: len(whole) // 2])


@pytest.mark.parametrize("converter", ["efficientnet_lite0", "efficientnet_lite0_head", "mtcnn_onet"])
def test_the_checkpoint_of_another_network_is_refused(converter: str) -> None:
    with pytest.raises(ValueError, match="not "):
        convert(converter, saved(OrderedDict(weight=torch.randn(2))))


def test_an_unknown_converter_is_refused() -> None:
    with pytest.raises(ValueError, match="no converter is called 'magic'"):
        convert("magic", b"")


def test_the_converter_copy_changes_nothing() -> None:
    assert convert("copy", b"bytes") == b"bytes"


class SameConv(nn.Conv2d):  # type: ignore[misc]
    """TensorFlow's SAME padding, written from its definition."""

    def forward(self, value: Any) -> Any:
        pads = []
        for size in (value.shape[3], value.shape[2]):
            needed = max((-(-size // self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
            pads += [needed // 2, needed - needed // 2]
        return super().forward(functional.pad(value, pads))


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, before: int, after: int, expand: int, side: int, stride: int) -> None:
        super().__init__()
        inner = before * expand
        if expand > 1:
            self._expand_conv = SameConv(before, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, eps=1e-3)
        self._depthwise_conv = SameConv(inner, inner, side, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=1e-3)
        self._project_conv = SameConv(inner, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, eps=1e-3)
        self.adds = before == after and stride == 1

    def forward(self, value: Any) -> Any:
        inner = value
        if hasattr(self, "_expand_conv"):
            inner = functional.relu6(self._bn0(self._expand_conv(inner)))
        inner = functional.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return inner + value if self.adds else inner


class EfficientNetLite0(nn.Module):  # type: ignore[misc]
    """From the paper's table: (repeats, kernel, stride, expansion, channels) of each stage."""

    STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80))
    STAGES += ((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, before = [], 32
        for repeats, side, stride, expand, after in self.STAGES:
            for repeat in range(repeats):
                blocks.append(Block(before, after, expand, side, stride if repeat == 0 else 1))
                before = after
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def features(self, views: Any) -> Any:
        value = (views.permute(0, 3, 1, 2).float() - 127) / 128
        value = functional.relu6(self._bn0(self._conv_stem(value)))
        for block in self._blocks:
            value = block(value)
        return functional.relu6(self._bn1(self._conv_head(value))).mean((2, 3))


def shaken(network: Any) -> Any:
    """Batch norms with statistics of their own, so that folding them is tested."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.3, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.6)
            nn.init.uniform_(module.bias, -0.2, 0.4)
    return network.eval()


def test_efficientnet_gives_the_features_and_logits_of_the_same_network_in_torch() -> None:
    network = shaken(EfficientNetLite0())
    checkpoint = saved(network.state_dict())
    views = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network.features(torch.from_numpy(views))
        logits = network._fc(expected).numpy()
    (features,) = run(convert("efficientnet_lite0", checkpoint), views=views)
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-3, atol=1e-4)
    assert features.std() > 0.01

    head = np.load(io.BytesIO(convert("efficientnet_lite0_head", checkpoint)), allow_pickle=False)
    np.testing.assert_allclose(features @ head["weight"].T + head["bias"], logits, rtol=1e-3, atol=1e-4)


class ONet(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 64, 128)
        for stage, side in enumerate((3, 3, 3, 2), start=1):
            setattr(self, f"conv{stage}", nn.Conv2d(widths[stage - 1], widths[stage], side))
            setattr(self, f"prelu{stage}", nn.PReLU(widths[stage]))
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = (nn.Linear(256, width) for width in (2, 4, 10))

    def forward(self, value: Any) -> tuple[Any, ...]:
        for stage, pool in enumerate((3, 3, 2, 0), start=1):
            value = getattr(self, f"prelu{stage}")(getattr(self, f"conv{stage}")(value))
            if pool:
                value = functional.max_pool2d(value, pool, 2, ceil_mode=True)
        value = value.permute(0, 3, 2, 1).reshape(value.shape[0], -1)
        value = self.prelu5(self.dense5(value))
        return functional.softmax(self.dense6_1(value), 1), self.dense6_2(value), self.dense6_3(value)


def test_onet_gives_the_outputs_of_the_same_network_in_torch() -> None:
    network = ONet().eval()
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 0.5)
    crops = np.random.default_rng(2).normal(size=(3, 3, 48, 48)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops))
    answers = run(convert("mtcnn_onet", saved(network.state_dict())), x=crops)
    for answer, wanted in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer, wanted.numpy(), rtol=1e-4, atol=1e-5)


class DlibFile:
    """A file of dlib's face network with seeded numbers, and the network they make, in torch."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)
        self.data = b"\x01\x02settings"

    def tensor(self, samples: int, channels: int = 1) -> np.ndarray:
        values = self.random.normal(0, 0.05, (samples, channels)).astype("<f4")
        self.data += b"".join(self.integer(n) for n in (2, samples, channels, 1, 1)) + values.tobytes()
        self.data += self.random.bytes(20)
        return values

    @staticmethod
    def integer(value: int) -> bytes:
        body = struct.pack("<I", value).rstrip(b"\0")
        return bytes([len(body)]) + body

    def conv(self, value: Any, before: int, after: int, side: int, stride: int) -> Any:
        count = after * before * side * side
        numbers, affine = self.tensor(count + after)[:, 0], self.tensor(2 * after)[:, 0]
        weight = torch.from_numpy(numbers[:count].reshape(after, before, side, side).copy())
        value = functional.conv2d(
            value, weight, torch.from_numpy(numbers[count:].copy()), stride, side // 2 * (stride == 1)
        )
        gain, shift = (torch.from_numpy(part.copy()).view(1, -1, 1, 1) for part in (affine[:after], affine[after:]))
        return value * gain + shift

    def network(self, crops: np.ndarray) -> Any:
        value = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
        value = (value - torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)) / 256
        value = functional.max_pool2d(functional.relu(self.conv(value, 3, 32, 7, 2)), 3, 2)
        before = 32
        for after, halves in [(32, False)] * 3 + [
            (width, first)
            for width, blocks in ((64, 4), (128, 3), (256, 3), (256, 1))
            for first in [True] + [False] * (blocks - 1)
        ]:
            inner = functional.relu(self.conv(value, before, after, 3, 2 if halves else 1))
            inner = self.conv(inner, after, after, 3, 1)
            if halves:
                value = functional.avg_pool2d(value, 2, 2)
                value, inner = self.filled(value, inner)
            value, before = functional.relu(inner + value), after
        return value.mean((2, 3)) @ torch.from_numpy(self.tensor(256, 128).copy())

    @staticmethod
    def filled(*values: Any) -> tuple[Any, ...]:
        shape = [max(sizes) for sizes in zip(*(value.shape for value in values), strict=True)]
        return tuple(
            functional.pad(
                value, [0, shape[3] - value.shape[3], 0, shape[2] - value.shape[2], 0, shape[1] - value.shape[1]]
            )
            for value in values
        )


def test_dlib_network_gives_the_embedding_of_the_same_network_in_torch() -> None:
    crops = np.random.default_rng(4).integers(0, 256, (2, INPUT_PX, INPUT_PX, 3), dtype=np.uint8)
    file = DlibFile()
    with torch.inference_mode():
        expected = file.network(crops).numpy()
    (embedding,) = run(convert("dlib_resnet", file.data), x=crops)
    assert embedding.shape == (2, 128)
    np.testing.assert_allclose(embedding, expected, rtol=1e-3, atol=np.abs(expected).max() * 1e-4)


def test_a_cut_dlib_file_is_refused_with_its_place() -> None:
    file = DlibFile()
    file.tensor(3 * 32 * 49 + 32)
    with pytest.raises(ValueError, match=r"no tensor of 64x1 after byte \d+"):
        convert("dlib_resnet", file.data)
