"""Face restorers as their authors publish them, with random weights: the real shapes where nothing else loads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any


def a_gfpgan(seed: int = 0) -> Any:
    """Make GFPGAN's network (the clean architecture of v1.3 and v1.4), which changes what it sees."""
    import torch
    from spandrel.architectures.GFPGAN import GFPGAN

    torch.manual_seed(seed)
    network = GFPGAN(input_is_latent=True, different_w=True, sft_half=True).eval()
    with torch.no_grad():  # without this the noise in the file, and so its use, would do nothing
        for layer in (network.stylegan_decoder.style_conv1, *network.stylegan_decoder.style_convs):
            layer.weight.fill_(0.1)
    return network


def a_codeformer(cells: int = 256) -> Any:
    """Make CodeFormer's network, which follows what it sees by its weight: of the real size around a transformer and a
    codebook that are small. `cells`: places of a face, 256 in the published file."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its use of TorchScript
        from spandrel_extra_arches.architectures.CodeFormer import CodeFormer

    torch.manual_seed(0)
    return CodeFormer(dim_embd=64, n_layers=1, codebook_size=32, latent_size=cells).eval()


def write_restorer(path: Path, network: Any) -> None:
    """Write a network as the releases of GFPGAN and CodeFormer do: its state dict below `params_ema`."""
    import torch

    torch.save({"params_ema": network.state_dict()}, path)


def write_names_of_codeformer(path: Path) -> None:
    """Write a file that has the names of CodeFormer's tensors, few and small: enough to be refused by."""
    import torch

    names = ("position_emb", "quantize.embedding.weight", "idx_pred_layer.1.weight", "encoder.blocks.0.weight")
    torch.save({"params_ema": {name: torch.zeros(2, 2) for name in names}}, path)
