"""What the generating capabilities take, give and raise: styles, prompts, diffusion. Needs only numpy.

Pictures are `uint8[H, W, 3]`, RGB, upright. A request is one picture to make; replicas batch those of one shape. All
capabilities may raise `errors.DeadlineExceeded`, `errors.Overloaded` and `errors.Unavailable`; each names what else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.styles import Prompter, Stylist

MAX_SEED = 2**32 - 1
Latents = NDArray[np.float16]
"""`float16[C, H / 8, W / 8]`, scaled as the UNet sees them."""

ControlMode = Literal["balanced", "prompt", "control"]
"""balanced: every residual by the weight. prompt ("My prompt is more important"): residuals fade towards the input
blocks by .825 a level. control ("ControlNet is more important"): the same, and none on the unconditional half."""
ResizeMode = Literal["stretch", "crop", "fill"]
"""stretch: just resize. crop: cover and crop the centre. fill: contain and fill the rest."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A low-rank adapter, by the stem of its file."""

    name: str
    text_encoder_weight: float = 1.0
    unet_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ControlHint:
    """One ControlNet at work, with its picture already preprocessed (see `Diffuser.make_hint`)."""

    model: str
    image: Image
    """Exactly as large as the picture to make."""
    weight: float = 1.0
    """0 to 2."""
    start: float = 0.0
    """Share of the steps after which it begins to act, 0 to 1; `end` likewise. Both inclusive, as A1111 has it."""
    end: float = 1.0
    mode: ControlMode = "balanced"
    passes: Literal["both", "first", "hires"] = "both"
    """In which passes of a picture with hires fix it acts."""


@dataclass(frozen=True, slots=True)
class Hires:
    """A second pass at a larger size over the first one's result."""

    width: int
    height: int
    """Pixels, multiples of 8."""
    steps: int
    denoising_strength: float
    """0 to 1; 0: upscale only."""
    upscaler: str = "Latent"
    prompt: str = ""
    """Empty: the first pass's; `negative_prompt` likewise."""
    negative_prompt: str = ""
    sampler: str = ""
    scheduler: str = ""
    """Empty: the first pass's."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One picture to make. Without `init_image` from noise (txt2img), with one from it (img2img), with a mask in it."""

    prompt: str
    """In A1111's syntax: attention, schedules, BREAK; `<lora:...>` already taken out."""
    negative_prompt: str = ""
    seed: int = 0
    """0 to `MAX_SEED`. The picture is the same alone and in any place of a batch."""
    variation_seed: int = 0
    variation_strength: float = 0.0
    """0 to 1: how far the noise moves from that of `seed` to that of `variation_seed`."""
    seed_size: tuple[int, int] | None = None
    """Width and height whose noise is pasted into the middle of this size's."""
    width: int = 512
    height: int = 512
    """Pixels, multiples of 8."""
    steps: int = 20
    guidance_scale: float = 7.0
    sampler: str = "Euler"
    """A1111's name, one of the diffusion engine's table."""
    scheduler: str = "Automatic"
    eta: float | None = None
    """Share of fresh noise of ancestral samplers (default 1) and DDIM (default 0)."""
    checkpoint: str = ""
    """Empty: the configured one."""
    vae: str = ""
    clip_skip: int = 1
    """1: the text encoder's last layer, 2: the last but one ..."""
    loras: tuple[Lora, ...] = ()
    controls: tuple[ControlHint, ...] = ()
    init_image: Image | None = None
    """Exactly `width` by `height`."""
    mask: Gray | None = None
    """`uint8`, size of `init_image`; 255: make anew, 0: keep, between: both."""
    masked_content: Literal["original", "noise", "nothing"] = "original"
    """What is under the mask to begin with: the init image's latents, noise or zeros."""
    denoising_strength: float = 0.75
    """0 to 1, of img2img."""
    exact_steps: bool = False
    """img2img runs `steps` steps; otherwise `int(min(strength, .999) * steps) + 1`, as A1111 does."""
    hires: Hires | None = None
    tiling: bool = False


@dataclass(frozen=True, slots=True)
class GenerationStep:
    """One denoising step is done."""

    step: int
    """From 1."""
    steps: int
    """Of all passes together."""
    latents: Latents
    """The present state, for previews and for whoever stops half way: see `Diffuser.decode_latents`."""


@dataclass(frozen=True, slots=True)
class GeneratedPicture:
    """The end of a generation."""

    image: Image
    checkpoint: str
    """That was used."""
    checkpoint_sha256: str
    warnings: tuple[str, ...] = ()
    """What was asked for and not done, in words for the client."""


@dataclass(frozen=True, slots=True)
class HintOptions:
    """How a preprocessor runs. Thresholds mean what the module says they mean; None: its defaults."""

    processor_res: int = 512
    """Short side at which it works, pixels."""
    threshold_a: float | None = None
    threshold_b: float | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A checkpoint, LoRA, ControlNet or VAE that can be asked for by `name`."""

    name: str
    alias: str
    sha256: str
    """Empty when it is a hub name that was not fetched yet."""
    file: str
    """Its name for people, without folders of the server."""


@dataclass(frozen=True, slots=True)
class HintModule:
    """A preprocessor."""

    name: str
    label: str
    """Its other name ("hed" and "softedge_hed"); both are understood."""
    available: bool
    """Whether its weights are here (or it needs none)."""
    sliders: tuple[dict[str, str | float], ...] = ()
    """A1111's: name, value, min, max, step."""


@dataclass(frozen=True, slots=True)
class ModelCatalogue:
    """What the diffusion engine has to offer."""

    checkpoints: tuple[ModelFile, ...] = ()
    loras: tuple[ModelFile, ...] = ()
    controlnets: tuple[ModelFile, ...] = ()
    vaes: tuple[ModelFile, ...] = ()
    modules: tuple[HintModule, ...] = ()
    default_checkpoint: str = ""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes of the device: `used`, `total`, `peak`; empty on a CPU."""


class Diffuser(Protocol):
    """Raises `WeightsMissing` (which file, which setting), `InvalidRequest` (an unknown sampler, an absurd size)."""

    def generate(self, request: GenerationRequest) -> AsyncIterator[GenerationStep | GeneratedPicture]:
        """Steps as they are done, then the picture. Closing the iterator stops the work within one step."""
        ...

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        """The picture that latents stand for, by the checkpoint's VAE."""
        ...

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        """What a ControlNet sees of a picture: edges, depth, a face mesh ... in the size of `image`.

        `module` by either of its names; "none" gives the picture back. Raises `InvalidRequest` for an unknown module.
        """
        ...

    async def list_models(self) -> ModelCatalogue: ...


class ImageGeneration(Diffuser, Stylist, Prompter, Protocol):
    """All that the use cases of making pictures need."""
