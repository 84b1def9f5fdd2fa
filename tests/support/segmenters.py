"""Segmentation networks in folders as the hub has them: real classes of transformers, small, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIDE = 64
"""Short side at which they look, as their `preprocessor_config.json` says."""


def a_segmenter(kind: str, classes: int = 150) -> Any:
    """Make a network that sees several classes in an image of noise."""
    import torch
    import transformers

    torch.manual_seed(3)  # one that sees several classes
    stages = [f"stage{number}" for number in range(1, 5)]
    if kind == "upernet":
        backbone = transformers.ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], out_features=stages)
        config = transformers.UperNetConfig(
            backbone_config=backbone,
            hidden_size=16,
            num_labels=classes,
            auxiliary_in_channels=16,
            auxiliary_channels=8,
        )
        network = transformers.UperNetForSemanticSegmentation(config).eval()
        spread = {network.decode_head.classifier.weight: 200}
    else:
        swin = transformers.SwinConfig(
            image_size=32, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, out_features=stages
        )
        sizes = dict.fromkeys(("hidden_dim", "mask_dim", "conv_dim", "dim_feedforward", "encoder_feedforward_dim"), 32)
        config = transformers.OneFormerConfig(
            backbone_config=swin,
            **sizes,
            num_labels=classes,
            num_queries=12,
            num_attention_heads=4,
            decoder_layers=3,
            encoder_layers=1,
            text_encoder_width=64,
            text_encoder_num_layers=1,
            text_encoder_vocab_size=64,
            text_encoder_n_ctx=4,
            is_training=True,  # as published: it has a text encoder, which only training needs
        )
        network = transformers.OneFormerForUniversalSegmentation(config).eval()
        whole = network.model.transformer_module
        layers = [one for one in whole.decoder.layers.parameters() if one.dim() > 1]
        spread = dict.fromkeys(layers, 3) | {whole.queries_embedder.weight: 50, whole.decoder.class_embed.weight: 200}
        spread |= dict.fromkeys((one for one in whole.decoder.mask_embed.parameters() if one.dim() > 1), 4)
    with torch.no_grad():  # so that no class is everywhere
        for weights, factor in spread.items():
            weights.mul_(factor)
    return network


def write_segmenter(folder: Path, network: Any, side: int = SIDE) -> Path:
    """Write a network as it is published, which looks at a short side of `side`; -> its folder."""
    network.save_pretrained(folder)
    looks = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "size": {"shortest_edge": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(looks))
    return folder
