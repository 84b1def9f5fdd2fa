"""Names of Immich's models: each leads to weights that open_clip has, and none to weights of another network."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import ValidationError

from configs.immich import CLIP_MODELS, clean_name
from configs.settings import Embedding, Immich, Settings
from tests.support.container_files import ROOT, is_setting


def weights(name: str) -> tuple[str, str]:
    network, _, tag = CLIP_MODELS[name].removeprefix("open_clip:").partition("/")
    return network, tag


@pytest.fixture(scope="module")
def pretrained() -> Any:
    return pytest.importorskip("open_clip.pretrained")


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_a_name_leads_to_weights_that_open_clip_has(pretrained: Any, name: str) -> None:
    assert pretrained.get_pretrained_cfg(*weights(name)), "open_clip has no such weights"


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_the_network_has_the_activation_that_the_weights_were_trained_with(pretrained: Any, name: str) -> None:
    factory = pytest.importorskip("open_clip.factory")
    network, tag = weights(name)
    of_weights = pretrained.get_pretrained_cfg(network, tag).get("quick_gelu", False)
    assert bool(factory.get_model_config(network).get("quick_gelu", False)) is bool(of_weights)


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_pictures_are_brought_to_size_by_the_bicubic_filter_as_the_view_is(pretrained: Any, name: str) -> None:
    assert pretrained.get_pretrained_cfg(*weights(name))["interpolation"] == "bicubic"


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_a_name_says_its_weights_but_for_the_spelling(name: str) -> None:
    network, tag = weights(name)
    spelled = f"{network}__{tag}".lower().replace("_", "-")
    own = name.lower().replace("_", "-")
    assert own in {spelled, spelled.replace("-quickgelu--openai", "--openai")}


def test_no_two_names_share_weights() -> None:
    assert len(set(CLIP_MODELS.values())) == len(CLIP_MODELS)


def test_names_that_do_not_tell_the_activation_are_left_out() -> None:
    unclear = {"RN50__yfcc15m", "RN50__cc12m", "RN101__yfcc15m", "ViT-B-32__laion400m_e31", "ViT-B-32__laion400m_e32"}
    assert not unclear & set(CLIP_MODELS)
    assert not [name for name in CLIP_MODELS if name.startswith("nllb")]


@pytest.mark.parametrize(
    ("sent", "cleaned"),
    [
        ("ViT-B-32__openai", "ViT-B-32__openai"),
        ("ViT-B-32::openai", "ViT-B-32__openai"),
        ("immich-app/ViT-B-32::openai", "ViT-B-32__openai"),
        ("buffalo_l", "buffalo_l"),
        ("a/", ""),
    ],
)
def test_a_name_is_cleaned_as_immich_cleans_it(sent: str, cleaned: str) -> None:
    assert clean_name(sent) == cleaned


def test_names_of_the_settings_are_cleaned_too() -> None:
    chosen = Immich(
        models={"org/ViT-B-32::openai": "open_clip:ViT-B-32-quickgelu//my weights/b32.pt"}, faces_as=("a/b::c",)
    )
    assert dict(chosen.models) == {"ViT-B-32__openai": "open_clip:ViT-B-32-quickgelu//my weights/b32.pt"}
    assert chosen.faces_as == ("b__c",)


@pytest.mark.parametrize(
    "wrong", ["", "ViT-B-32/openai", "open_clip:", "open_clip:ViT-B-32", "onnx:a/b", "open_clip:a b/c"]
)
def test_weights_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match=re.escape("is no weights like open_clip:")):
        Immich(models={"x": wrong})


def test_the_weights_of_the_embedding_model_are_named_as_the_table_names_them() -> None:
    chosen = Embedding(engine="open_clip", open_clip_model="ViT-B-32-quickgelu", open_clip_pretrained="openai")
    assert Settings(embedding=chosen).clip_weights == CLIP_MODELS["ViT-B-32__openai"]
    assert Settings(embedding=Embedding()).clip_weights is None


def page() -> str:
    return (ROOT / "docs/immich.md").read_text(encoding="utf-8")


def test_the_page_about_it_names_settings_that_there_are() -> None:
    named = set(re.findall(r"DARKROOM_[A-Z0-9_]+[A-Z0-9]", page()))
    assert "DARKROOM_IMMICH__ALLOW_FROM" in named
    assert [name for name in named if not is_setting(name)] == []


def test_what_the_page_puts_into_the_environment_serves_immichs_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"in `\.env`:\n\n((?:    .+\n)+)", page())
    for line in block.split():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.immich.enabled
    assert settings.immich.models["ViT-B-32__openai"] == settings.clip_weights
    assert settings.faces.engine == "insightface"


def test_the_two_compose_files_of_the_page_share_a_network_and_the_address_that_is_let_in() -> None:
    darkroom, immich = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL))
    [(_, shared)] = darkroom["networks"].items()
    server = immich["services"]["immich-server"]
    address = server["networks"][shared["name"]]["ipv4_address"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(shared["ipam"]["config"][0]["subnet"])
    assert f'ALLOW_FROM=["{address}"]' in page()
    host = urlsplit(server["environment"]["IMMICH_MACHINE_LEARNING_URL"]).hostname
    assert [host] == darkroom["services"]["server"]["networks"]["immich"]["aliases"]
