"""Fixtures of the contract tests: small models with seeded random weights, and vendors on this machine; nothing is
fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.vendor_server import VendorServer
from tests.unit.services.images.test_fetch import self_signed

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Name and checkpoint of the model."""
    open_clip = pytest.importorskip("open_clip")
    torch = pytest.importorskip("torch")
    folder: Path = tmp_path_factory.mktemp("open_clip")
    (folder / "darkroom-tiny.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder)
    torch.manual_seed(5)
    checkpoint = folder / "tiny.pt"
    torch.save(open_clip.create_model("darkroom-tiny").state_dict(), checkpoint)
    return "darkroom-tiny", str(checkpoint)


@pytest.fixture
def vendor(no_credentials: None) -> Iterator[VendorServer]:
    with VendorServer().serving() as server:
        yield server


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusting_nobody: str) -> None:
    """An environment in which no SDK finds a key, a file or a metadata server."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "GEMINI_", "CLOUDSDK_", "GCE_")):
            monkeypatch.delenv(name)
    nowhere = str(tmp_path / "nowhere")
    monkeypatch.setenv("HOME", nowhere)
    monkeypatch.setenv("AWS_CONFIG_FILE", nowhere)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("SSL_CERT_FILE", trusting_nobody)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with small seeded diffusion models of the real classes, see `tests.support.tiny_diffusion`."""
    pytest.importorskip("diffusers")
    from tests.support.tiny_diffusion import write_models

    return write_models(tmp_path_factory.mktemp("diffusion"))


@pytest.fixture(scope="session")
def xl_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a small seeded SDXL of the real classes, see `tests.support.tiny_sdxl`."""
    pytest.importorskip("diffusers")
    from tests.support.tiny_sdxl import write_models

    return write_models(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(params=["s3", "gs"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def endpoint(scheme: str, request: pytest.FixtureRequest) -> str:
    """Settings of a healthy store."""
    return str(request.getfixturevalue({"s3": "s3_endpoint", "gs": "gcs_endpoint"}[scheme]))


@pytest.fixture(scope="session")
def trusting_nobody(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of certificates with one of our own: no server of the internet is believed, and each HTTP client that an
    SDK opens reads it in no time."""
    folder = tmp_path_factory.mktemp("certificates")
    self_signed("nobody.example", folder)
    return str(folder / "server.pem")
