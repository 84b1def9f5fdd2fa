"""Names of Immich's models, and the open_clip weights that their vectors come from.

A library holds vectors of one model, told by its name alone: a name stands here only where open_clip gives the vectors
that Immich's server stores under it. So these of Immich's are missing:

- `RN50__yfcc15m`, `RN50__cc12m`, `RN101__yfcc15m`, `ViT-B-32__laion400m_e31` and `_e32`: trained with QuickGELU, and
  named like networks without; which of the two Immich's files hold cannot be told from the name;
- `nllb-clip-...`, which put the language of a query before it, and M-CLIP, which are no models of open_clip.

Immich's `...__openai` were exported with QuickGELU, which OpenAI trained them with; open_clip calls the network so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_WEIGHTS = re.compile(r"open_clip:[^/\s]+/.*")
_SAME_NAME = (
    "ViT-B-16-plus-240__laion400m_e31",
    "ViT-B-16-plus-240__laion400m_e32",
    "ViT-B-16__laion400m_e31",
    "ViT-B-16__laion400m_e32",
    "ViT-B-32__laion2b_e16",
    "ViT-H-14-378-quickgelu__dfn5b",
    "ViT-H-14-quickgelu__dfn5b",
    "ViT-L-14-quickgelu__dfn2b",
    "ViT-L-14__laion400m_e31",
    "ViT-L-14__laion400m_e32",
    "ViT-B-16-SigLIP__webli",
    "ViT-B-16-SigLIP-256__webli",
    "ViT-B-16-SigLIP-384__webli",
    "ViT-B-16-SigLIP-512__webli",
    "ViT-B-16-SigLIP-i18n-256__webli",
    "ViT-L-16-SigLIP-256__webli",
    "ViT-L-16-SigLIP-384__webli",
    "ViT-SO400M-14-SigLIP-384__webli",
    "ViT-B-16-SigLIP2__webli",
    "ViT-B-32-SigLIP2-256__webli",
    "ViT-L-16-SigLIP2-256__webli",
    "ViT-L-16-SigLIP2-384__webli",
    "ViT-L-16-SigLIP2-512__webli",
    "ViT-SO400M-14-SigLIP2__webli",
    "ViT-SO400M-14-SigLIP2-378__webli",
    "ViT-SO400M-16-SigLIP2-256__webli",
    "ViT-SO400M-16-SigLIP2-384__webli",
    "ViT-SO400M-16-SigLIP2-512__webli",
    "ViT-gopt-16-SigLIP2-256__webli",
    "ViT-gopt-16-SigLIP2-384__webli",
)
"""Names in which only the `/` of open_clip's became `__`."""
_OPENAI = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")
_OTHERS = {
    "ViT-B-32__laion2b-s34b-b79k": "ViT-B-32/laion2b_s34b_b79k",
    "ViT-H-14__laion2b-s32b-b79k": "ViT-H-14/laion2b_s32b_b79k",
    "ViT-L-14__laion2b-s32b-b82k": "ViT-L-14/laion2b_s32b_b82k",
    "ViT-g-14__laion2b-s12b-b42k": "ViT-g-14/laion2b_s12b_b42k",
    "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k": "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
    "XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k": "xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k",
}
_WEIGHTS_OF = {
    **{f"{network}__openai": f"{network}-quickgelu/openai" for network in _OPENAI},
    **{name: name.replace("__", "/") for name in _SAME_NAME},
    **_OTHERS,
}
CLIP_MODELS: Mapping[str, str] = {name: f"open_clip:{weights}" for name, weights in _WEIGHTS_OF.items()}
"""Immich's name -> `open_clip:MODEL/WEIGHTS`."""


def clean_name(name: str) -> str:
    """Clean a model's name as Immich does: the last part of a path, with `_` for `:`."""
    return name.rpartition("/")[2].replace(":", "_")


def names_weights(text: str) -> bool:
    """Whether a text names weights: `open_clip:MODEL/WEIGHTS`; a checkpoint of one's own by its path."""
    return _WEIGHTS.fullmatch(text) is not None
