"""Contracts of image generation: inputs, results and errors of the diffusion engine. Needs only numpy.

Images are `uint8[H, W, 3]`, RGB, upright. A request is one image to make; replicas batch those of one shape. All
capabilities may raise `errors.DeadlineExceeded`, `errors.Overloaded` and `errors.Unavailable`; each names what else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.contracts.arrays import Gray, Image
from deployments.contracts.styles import Prompter, Stylist

MAX_SEED = 2**32 - 1
Latents = NDArray[np.float16]
"""Latents, `float16[C, H / 8, W / 8]`, scaled as the UNet sees them."""

ControlMode = Literal["balanced", "prompt", "control"]
"""balanced: every residual by the weight. prompt ("My prompt is more important"): residuals fade towards the input
blocks by .825 a level. control ("ControlNet is more important"): the same, and none on the unconditional half."""
FAMILY_NAMES: Mapping[str, str] = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "SDXL",
    "sdxl-refiner": "the SDXL refiner",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux",
    "other": "a family that is not known here",
    "": "no family that it names",
}
"""Families of networks, as `ModelFile.family` says them, in words."""
ROLE_NAMES: Mapping[str, str] = {
    "checkpoint": "a checkpoint",
    "vae": "a VAE",
    "lora": "a LoRA",
    "controlnet": "a ControlNet",
    "controlnet-union": "a ControlNet union model",
    "t2i-adapter": "a T2I-Adapter",
    "control-lora": "a control-lora",
    "ip-adapter": "an IP-Adapter",
    "lllite": "a ControlNet-LLLite",
    "embedding": "a textual inversion",
    "unknown": "nothing that is known here",
}
"""What model files are, as `ModelFile.role` says it, in words."""

UNION_KINDS = ("openpose", "depth", "softedge", "hardedge", "normal", "segmentation", "tile")
"""What a hint for a ControlNet union model may show, in the order of the model's types. Soft edges are scribbles, too,
hard ones line art and straight lines."""

NoiseSource = Literal["GPU", "CPU", "NV"]
"""What draws noise. GPU: the device that computes. CPU: the processor. NV: the processor, the numbers of an NVIDIA
card."""
Emphasis = Literal["Original", "No norm", "Ignore", "None"]
"""What weights of a prompt do. Original: scale tokens and keep the mean. No norm: scale them. Ignore: nothing. None:
brackets are text."""

PROMPT_IMAGE_PX = 224
"""Sides of the images that are prompts, as their encoders see them."""
ResizeMode = Literal["stretch", "crop", "fill"]
"""stretch: just resize. crop: cover and crop the centre. fill: contain and fill the rest."""


@dataclass(frozen=True, slots=True)
class Lora:
    """A low-rank adapter, by the stem of its file."""

    name: str
    text_encoder_weight: float = 1.0
    unet_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ColourFix:
    """What a picture takes over of a hint's colours in each step: those of its low frequencies (tile_colorfix)."""

    radius: int = 8
    """Radius of the blur that parts colours from detail, in latents; twice as large in a second pass."""
    sharpness: float = 0.0
    """How much detail the picture is to have, 0 to 2 (tile_colorfix+sharp); 0: as much as it has."""


@dataclass(frozen=True, slots=True)
class ControlHint:
    """One ControlNet with its hint, already preprocessed (see `Diffuser.make_hint`)."""

    model: str
    image: Image
    """The hint, exactly as large as the image to make."""
    weight: float = 1.0
    """Factor of its residuals, 0 to 2."""
    start: float = 0.0
    """Share of the steps after which it begins to act, 0 to 1; `end` likewise. Both inclusive, as A1111 has it."""
    end: float = 1.0
    mode: ControlMode = "balanced"
    passes: Literal["both", "first", "hires"] = "both"
    """Passes of an image with hires fix in which it acts."""
    mask: Gray | None = None
    """For inpaint networks: 255 where the image is to be made anew, of its size."""
    shows: str = ""
    """For ControlNet union models: what the hint shows, one of `UNION_KINDS`."""
    colours: ColourFix | None = None
    """Where given, the picture takes over the hint's colours, by `weight` up to 1."""
    is_begun: bool = False
    """Whether the first pass begins from the hint under all the noise of the schedule, as `inpaint_only+lama` does."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image whose features a picture takes over (reference_only, reference_adain, reference_adain+attn)."""

    image: Image
    """Exactly as large as the picture to make."""
    fidelity: float = 0.5
    """How much of the style is the reference's, 0 to 1; counts in the mode `balanced`, others mean 0 and 1."""
    weight: float = 1.0
    """Share of the layers that attend to it, over 1 is 1; or of the blocks that take its statistics, over 2 is 2."""
    start: float = 0.0
    """Share of the steps after which it begins to act, 0 to 1; `end` likewise."""
    end: float = 1.0
    mode: ControlMode = "balanced"
    passes: Literal["both", "first", "hires"] = "both"
    how: Literal["attention", "statistics", "both"] = "attention"
    """What is taken over: what self-attention looks at, the means and deviations of channels, or both."""


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """An image that a picture is to be like, beside what the prompt says (IP-Adapter)."""

    model: str
    """IP-Adapter by name; one that cannot be used is left out with a warning."""
    image: Image
    """The whole image, whatever its shape was, `uint8[PROMPT_IMAGE_PX, PROMPT_IMAGE_PX, 3]`."""
    weight: float = 1.0
    """Factor of what is seen in it, 0 to 2."""
    start: float = 0.0
    """Share of the steps after which it begins to act, 0 to 1; `end` likewise."""
    end: float = 1.0
    passes: Literal["both", "first", "hires"] = "both"
    mask: Gray | None = None
    """255 where nothing is to be seen in it, of its size."""


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
    """Prompt of the second pass; empty: the first pass's. `negative_prompt` likewise."""
    negative_prompt: str = ""
    sampler: str = ""
    scheduler: str = ""
    """Scheduler of the second pass; empty: the first pass's. `sampler` likewise."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One image to make: from noise (txt2img), with `init_image` from it (img2img), with a mask in it (inpainting)."""

    prompt: str
    """Prompt in A1111's syntax: attention, schedules, BREAK; `<lora:...>` already taken out."""
    negative_prompt: str = ""
    seed: int = 0
    """0 to `MAX_SEED`. The image is the same alone and in any place of a batch."""
    variation_seed: int = 0
    variation_strength: float = 0.0
    """0 to 1: how far the noise moves from that of `seed` to that of `variation_seed`."""
    noise_source: NoiseSource = "GPU"
    noise_seed_delta: int = 0
    """What is added to `seed` for the noise that samplers draw after the first, 0: they go on drawing ("ENSD")."""
    seed_size: tuple[int, int] | None = None
    """Width and height whose noise is pasted into the middle of this size's."""
    width: int = 512
    height: int = 512
    """Pixels, multiples of 8."""
    steps: int = 20
    guidance_scale: float = 7.0
    sampler: str = "Euler"
    """A1111's name, one of `algorithms.a1111.samplers`."""
    scheduler: str = "Automatic"
    eta: float | None = None
    """Share of fresh noise of ancestral samplers (default 1) and DDIM (default 0)."""
    checkpoint: str = ""
    """Checkpoint by name; empty: the configured one."""
    vae: str = ""
    emphasis: Emphasis = "Original"
    pad_prompts: bool = False
    """Whether the shorter of prompt and negative prompt ends in encoded empty chunks; otherwise the model is asked for
    each by itself where their lengths differ."""
    clip_skip: int = 1
    """Layer of the text encoder that embeds, from the end: 1 is the last, 2 the last but one ..."""
    loras: tuple[Lora, ...] = ()
    controls: tuple[ControlHint, ...] = ()
    references: tuple[Reference, ...] = ()
    image_prompts: tuple[ImagePrompt, ...] = ()
    init_image: Image | None = None
    """Image to begin with, exactly `width` by `height`."""
    mask: Gray | None = None
    """Mask of the size of `init_image`; 255: generate, 0: keep, between: both."""
    soft_mask: bool = False
    """Whether latents that are partly masked are mixed; otherwise each is made anew or kept."""
    masked_content: Literal["original", "noise", "nothing"] = "original"
    """Initial latents under the mask: those of the init image, noise or zeros."""
    denoising_strength: float = 0.75
    """Strength of img2img, 0 to 1."""
    exact_steps: bool = False
    """Whether img2img runs `steps` steps; otherwise `int(min(strength, .999) * steps) + 1`, as A1111 does."""
    hires: Hires | None = None
    tiling: bool = False
    refiner: str = ""
    """Checkpoint that makes the last steps, of the second pass where there are two; empty: none."""
    refiner_switch_at: float = 0.0
    """Share of the noise's way after which the refiner takes over, 0 to 1."""
    crop: tuple[int, int] = (0, 0)
    """Top and left of the crop that SDXL is told, pixels."""
    scores: tuple[float, float] = (2.5, 6.0)
    """Aesthetic scores that SDXL's refiner is told of the negative and the positive prompt."""


@dataclass(frozen=True, slots=True)
class GenerationStep:
    """Event of one denoising step. The latents stay where they are made: see `Diffuser.peek`."""

    step: int
    """Number of the step, from 1."""
    steps: int
    """Number of steps of all passes together."""
    ticket: str
    """Name of this run of the request, by which `Diffuser.peek` finds it; no other run has it."""


@dataclass(frozen=True, slots=True)
class SeenLatents:
    """What a picture in progress has, for previews and for pictures that are interrupted."""

    step: int
    """Number of the step that made them, from 1."""
    steps: int
    """Number of steps of all passes together."""
    latents: Latents
    """Picture that is predicted at this step, see `Diffuser.decode_latents`."""


@dataclass(frozen=True, slots=True)
class GeneratedPicture:
    """Finished image, the last event of a generation."""

    image: Image
    checkpoint: str
    """Name of the checkpoint that was used."""
    checkpoint_sha256: str
    warnings: tuple[str, ...] = ()
    """Parts of the request that were not fulfilled, in words for the client."""


@dataclass(frozen=True, slots=True)
class HintOptions:
    """Options of a preprocessor. The module says what thresholds mean; None: its defaults."""

    processor_res: int = 512
    """Short side at which it works, pixels."""
    threshold_a: float | None = None
    threshold_b: float | None = None
    mask: Gray | None = None
    """For `inpaint_only+lama`: 255 where the image is to be filled, of its size."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A checkpoint, LoRA, ControlNet, VAE or textual inversion that requests name by `name`."""

    name: str
    alias: str
    sha256: str
    """Hash of the file; empty for a hub's model that was not fetched yet, and until a new file is hashed."""
    file: str
    """File name for people, with sub-folders of the models folder, without folders of the server."""
    family: str = ""
    """Networks that it belongs to: sd1, sd2, sdxl, sdxl-refiner, sd3, flux, other; empty where it does not say."""
    role: str = ""
    """What the file is, whatever its folder: checkpoint, lora, controlnet, t2i-adapter, ...; empty where not known."""
    vectors: int = 0
    """Number of a textual inversion's vectors, and their `width`; 0 for other models."""
    width: int = 0
    encoder: str = ""
    """Image encoder of an IP-Adapter, `clip_h` or `clip_g`; empty for other files and kinds that do not run here."""
    types: int = 0
    """Number of the first `UNION_KINDS` that a ControlNet union model knows, or more; 0 for other files."""
    addnet_sha256: str = ""
    """Hash of a LoRA's tensors without the header, by which the original names it; empty where there is none."""
    is_here: bool = True
    """Whether its weights are on the engine's machine: a hub's model is listed before it was fetched."""
    needs: str = ""
    """Package that must be installed on the engine's machine before a face restorer can be used; empty: none."""


@dataclass(frozen=True, slots=True)
class HintModule:
    """A preprocessor of the catalogue (A1111's "module")."""

    name: str
    label: str
    """Its other name ("hed" and "softedge_hed"); both are understood."""
    available: bool
    """Whether it can run: its weights are here, or it needs none."""
    sliders: tuple[dict[str, str | float], ...] = ()
    """A1111's sliders: name, value, min, max, step."""
    tags: tuple[str, ...] = ()
    """Kinds of control that it serves, by A1111's names."""
    weights: tuple[str, ...] = ()
    """Files that it needs in `annotators`, and where they come from (`source`); empty: none of its own."""
    source: str = ""
    model_free: bool = False
    """Whether it needs no ControlNet."""


@dataclass(frozen=True, slots=True)
class ModelCatalogue:
    """Models and preprocessors that the diffusion engine offers."""

    checkpoints: tuple[ModelFile, ...] = ()
    loras: tuple[ModelFile, ...] = ()
    controlnets: tuple[ModelFile, ...] = ()
    vaes: tuple[ModelFile, ...] = ()
    embeddings: tuple[ModelFile, ...] = ()
    upscalers: tuple[ModelFile, ...] = ()
    restorers: tuple[ModelFile, ...] = ()
    """Face restorers; the `alias` is the kind, GFPGAN or CodeFormer."""
    modules: tuple[HintModule, ...] = ()
    default_checkpoint: str = ""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes of the device: `used`, `total`, `peak`; empty on a CPU."""


class Diffuser(Protocol):
    """Diffusion capability. Raises `WeightsMissing` (which file, which setting), `InvalidRequest` (an unknown sampler,
    an absurd size)."""

    def generate(self, request: GenerationRequest) -> AsyncIterator[GenerationStep | GeneratedPicture]:
        """Yield steps as they are done, then the image. Closing the iterator stops the work within one step."""
        ...

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        """Look at what pictures in progress have now, by the tickets of their steps; waits for no batch.

        Missing are those that are finished or given up, and those whose replica does not answer in time: to look is no
        reason to fail, and raises nothing but `NotDeployed`.
        """
        ...

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        """Decode latents to an image by the checkpoint's VAE or a named one."""
        ...

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        """Make the hint of an image for a ControlNet: edges, depth, a face mesh ... in the size of `image`.

        `module` is either of a preprocessor's names; "none" returns the image. Raises `InvalidRequest` for an unknown
        module, `NotSupported` for one that does not run here.
        """
        ...

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        """Enlarge an image to `size` (width, height) by a network of the catalogue's upscalers, by name or alias.

        Raises `InvalidRequest` for an unknown one or too large an image, `NotSupported` for a file that is none.
        """
        ...

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        """Restore faces, each upright at 512 by 512 pixels (`algorithms.a1111.face_pasting`), by a network of the
        catalogue's restorers; `weight`: how far CodeFormer follows what it is shown, 0 to 1, GFPGAN looks past it.
        -> as many of that size

        Raises `NotSupported` for a file that is none, or that needs a package which is not installed.
        """
        ...

    async def list_models(self) -> ModelCatalogue:
        """List the models and preprocessors that requests may name."""
        ...


class ImageGeneration(Diffuser, Stylist, Prompter, Protocol):
    """All capabilities that the use cases of image generation need."""
