"""Times of single networks: as they are, as CUDA graphs and compiled, in both half precisions."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from bench.gpu import models
from bench.gpu.card import Card
from bench.gpu.tables import Page
from tests.support.tiny_diffusion import build_tokenizer

_TOKENS = 77
Call = Callable[[], Any]


def measure(card: Card, page: Page) -> None:
    """Measure UNet, ControlNet, VAE and text encoder of SD 1.5."""
    page.heading(
        "Parts of SD 1.5, ms a call",
        "part", "as served", "rows of pixels first", "CUDA graph", "compiled", "compiling, s", "bfloat16",
    )  # fmt: skip
    shape = models.sd15(card)
    unet = models.make_unet(card, shape)
    for rows in (2, 4) if card.tiny else (2, 8, 16):
        _row(card, page, f"UNet, {rows} rows", unet, partial(unet_call, card, shape=shape, rows=rows))
    net = models.make_controlnet(card, unet)
    _row(card, page, "ControlNet, 2 rows", net, lambda net: _controlnet_call(card, net, shape, 2))
    vae = models.make_vae(card)
    _row(card, page, "VAE decodes a picture", vae, lambda vae: vae_call(card, vae, shape))
    _row(card, page, "VAE encodes a picture", vae, lambda vae: _encode_call(card, vae, shape))
    encoder = models.make_text_encoder(card, build_tokenizer(), shape.context)
    _row(card, page, "text encoder, 2 chunks", encoder, lambda encoder: _text_call(card, encoder))


def unet_call(card: Card, unet: Any, shape: models.Shape, rows: int) -> Call:
    """Make a call of a UNet over fixed inputs."""
    given = _latents(card, shape, rows, unet.dtype)
    when = torch.full((), 500, device=card.name)
    context = _random(card, unet.dtype, rows, _TOKENS, shape.context)
    more: dict[str, Any] = {}
    if unet.config.addition_embed_type:
        pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        ids = torch.tensor([shape.side, shape.side, 0, 0, shape.side, shape.side], device=card.name)
        added = {"text_embeds": _random(card, unet.dtype, rows, pooled), "time_ids": ids.to(unet.dtype).repeat(rows, 1)}
        more = {"added_cond_kwargs": added}
    return lambda: unet(given, when, encoder_hidden_states=context, return_dict=False, **more)


def vae_call(card: Card, vae: Any, shape: models.Shape) -> Call:
    """Make a call that decodes one picture."""
    given = _latents(card, shape, 1, vae.dtype)
    return lambda: vae.decode(given, return_dict=False)


def _controlnet_call(card: Card, net: Any, shape: models.Shape, rows: int) -> Call:
    given = _latents(card, shape, rows, net.dtype)
    when = torch.full((), 500, device=card.name)
    context = _random(card, net.dtype, rows, _TOKENS, shape.context)
    hint = _random(card, net.dtype, rows, 3, shape.side, shape.side)
    return lambda: net(given, when, encoder_hidden_states=context, controlnet_cond=hint, return_dict=False)


def _encode_call(card: Card, vae: Any, shape: models.Shape) -> Call:
    given = _random(card, vae.dtype, 1, 3, shape.side, shape.side)
    return lambda: vae.encode(given, return_dict=False)


def _text_call(card: Card, encoder: Any) -> Call:
    words = torch.randint(0, 500, (2, _TOKENS), device=card.name)
    return lambda: encoder(words, output_hidden_states=True)


def _row(card: Card, page: Page, name: str, net: Any, call_of: Callable[[Any], Call]) -> None:
    with torch.inference_mode(False), torch.no_grad():
        net.to(memory_format=torch.contiguous_format)
        plain = card.milliseconds(call_of(net))
        if card.is_gpu:
            net.to(memory_format=torch.channels_last)
        served = card.milliseconds(call_of(net))
        replay = card.graph(call_of(net))
        graphed = card.milliseconds(replay) if replay else None
        compiled, compiling = _compiled(card, net, call_of)
        dtype = net.dtype
        other = card.milliseconds(call_of(net.to(torch.bfloat16)))
        net.to(dtype)
    page.row(name, served, plain, graphed, compiled, compiling, other)
    card.free()


def _compiled(card: Card, net: Any, call_of: Callable[[Any], Call]) -> tuple[float | None, float | None]:
    """Time the compiled network, ms, and how long compiling took, s; the UNet's first size only, it takes minutes."""
    if not card.is_gpu or not hasattr(net, "compile_repeated_blocks") or getattr(net, "was_compiled", False):
        return None, None
    net.was_compiled = True
    compiled = torch.compile(net)
    compiled.config, compiled.dtype  # noqa: B018  attributes pass through
    started = time.perf_counter()
    call = call_of(compiled)
    call()
    card.wait()
    compiling = time.perf_counter() - started
    taken = card.milliseconds(call)
    torch.compiler.reset()
    return taken, compiling


def _latents(card: Card, shape: models.Shape, rows: int, dtype: Any) -> Any:
    return _random(card, dtype, rows, 4, shape.side // 8, shape.side // 8)


def _random(card: Card, dtype: Any, *sides: int) -> Any:
    return torch.randn(sides, device=card.name, dtype=dtype)
