"""Settings of pictures that are made: diffusion, styles, segmentation, avatars."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from configs.settings.base import Options

_AT_ONCE = 4


class Diffusion(Options):
    """The diffusion engine, over diffusers; it is deployed where the Serve configuration says `diffusion: true`."""

    models_dir: Path | None = None
    """Folder with `checkpoints`, `loras`, `controlnets`, `vaes`, `embeddings`, `upscalers`, `restorers` and
    `annotators`, or A1111's `models`; default: `weights_dir/diffusion`."""
    checkpoint: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Checkpoint for requests that name none: a hub name, or a file or folder of `checkpoints/`."""
    offline: bool = False
    """Never ask a model hub, not even for a model that is named by its hub name."""
    device: str = "cpu"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Precision. auto: half precision on a GPU, float32 on a CPU."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Share of the GPU's memory that the process may take; default: the share of the GPU that Ray gave the replica.
    Ray counts shares, it does not enforce them."""
    memory_budget_mb: int | None = Field(None, gt=0)
    """MiB of checkpoints, LoRAs, ControlNets and preprocessors that one replica keeps loaded; the least recently used
    leave first. Default: 60 % of the process's share of a GPU's memory, 8192 on a CPU."""
    ram_stage_mb: int = Field(8192, ge=0)
    """MiB of checkpoints that left a GPU and stay in the machine's memory, to be copied back instead of
    loaded; 0: none. Without meaning on a CPU."""
    max_batch: int | None = Field(None, gt=0)
    """Images of one shape that share a denoising step; default: as many as the memory beside `memory_budget_mb` is
    reckoned to hold, at most 16, and 4 on a CPU."""
    batch_wait_s: float = Field(0.01, ge=0)
    """Seconds after its arrival until which a request that finds the engine idle lets others of its shape join it. It
    makes ready in this time, which the images of one job need to come in one after the other."""
    max_side_px: int = Field(2048, ge=64)
    max_steps: int = Field(150, gt=0)
    max_controls: int = Field(10, gt=0)
    cuda_graphs: bool = False
    """Whether each call of UNet and ControlNets is recorded once and replayed as one launch, on a GPU; it takes memory
    for each shape of request."""
    compile: bool = False
    """Whether to torch.compile the UNet: minutes at the start, a third less time for each image after."""

    @property
    def at_once(self) -> int:
        """Images of one job that are asked for at a time: 4, on which the Serve files' `max_ongoing_requests` is
        reckoned, for more would hold up lists, hints and previews of all; fewer where a batch holds fewer."""
        return min(self.max_batch or _AT_ONCE, _AT_ONCE)


class Styles(Options):
    """Styles and the engines that make them."""

    engines: tuple[Literal["opencv", "diffusers", "sdwebui", "gemini", "vertex", "bedrock"], ...] = ("opencv",)
    """Engines, tried in this order: a technical failure goes on to the next, a refused image does not."""
    prompter: Literal["template", "gemini"] = "template"
    max_px: int = Field(1024, ge=64)
    """Longest side in pixels of the image that engines get."""
    diffusion_pixels: int = Field(512 * 768, ge=64 * 64)
    """Width times height at which `diffusers` and `sdwebui` work, in the shape of the image."""
    diffusion_pixels_xl: int = Field(1024 * 1024, ge=64 * 64)
    """The same for `diffusers` with a checkpoint of SDXL, which was trained at this size."""
    engine_timeout_s: float = Field(60.0, gt=0)
    """Seconds for one engine, its share of the deadline `deadlines.style_s`."""


class SegmentationOptions(Options):
    """Segmentation and its engines."""

    engines: tuple[Literal["local", "vision", "rekognition"], ...] = ("local",)
    """Engines, tried in this order: a technical failure goes on to the next, a refused image does not."""
    max_px: int = Field(1600, ge=64)
    """Longest side in pixels of the image that engines get; masks are enlarged to the original's size."""
    engine_timeout_s: float = Field(30.0, gt=0)
    """Seconds for one engine, its share of the deadline `deadlines.segment_s`."""


class Avatars(Options):
    """Avatars and the engines that make them."""

    engines: tuple[Literal["local", "diffusers", "vertex", "bedrock", "cloud_function"], ...] = ("local",)
    """Engines, tried in this order: a technical failure goes on to the next, a refused image does not."""
    mode: Literal["overlay", "character"] = "character"
    """Mode of requests that name none."""
    animal: str = "fox"
    """Animal of requests to the tutorial's route that name none."""
    max_px: int = Field(2048, ge=64)
    """Longest side in pixels of the image that is made."""
    max_faces: int = Field(20, gt=0)
    """Faces of one image that are changed, the largest first."""
    diffusion_pixels: int = Field(512 * 512, ge=64 * 64)
    """Width times height at which `diffusers` paints a head."""
    diffusion_pixels_xl: int = Field(1024 * 1024, ge=64 * 64)
    """The same with a checkpoint of SDXL."""
    diffusion_steps: int = Field(30, ge=1, le=150)
    checkpoint: str = ""
    """Checkpoint that `diffusers` paints with, best one for inpainting. Empty: `diffusion.checkpoint`."""
    engine_timeout_s: float = Field(60.0, gt=0)
    """Seconds for one engine, its share of the deadline `deadlines.avatar_s`."""
