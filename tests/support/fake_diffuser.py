"""Fake diffusion engine without a model: images by prompt and seed, a step at a time, held up and failing on demand."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import numpy as np

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import (
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    HintModule,
    HintOptions,
    Latents,
    ModelCatalogue,
    ModelFile,
    SeenLatents,
)
from deployments.errors import InvalidRequest, WeightsMissing
from tests.support.fakes import FakeCapabilities


def a_model(name: str, file: str | None = None) -> ModelFile:
    return ModelFile(name, name, f"{zlib.crc32(name.encode()):08x}" * 8, file or f"{name}.safetensors")


def a_slider(name: str, value: float, least: float, most: float) -> dict[str, str | float]:
    return {"name": name, "value": value, "min": least, "max": most, "step": 1}


_RESOLUTION = a_slider("Resolution", 512, 64, 2048)
CATALOGUE = ModelCatalogue(
    checkpoints=(a_model("tiny"), a_model("ghiblistyle"), a_model("hub/model", "hub/model")),
    loras=(a_model("ghibli_style_offset"), a_model("ink")),
    controlnets=tuple(
        a_model(name)
        for name in (
            "control_v11p_sd15_canny",
            "control_v11p_sd15_softedge",
            "control_v11f1p_sd15_depth",
            "control_v2p_sd15_mediapipe_face",
        )
    ),
    vaes=(a_model("clear"),),
    modules=(
        HintModule("none", "none", True),
        HintModule(
            "canny",
            "canny",
            True,
            (_RESOLUTION, a_slider("Low Threshold", 100, 1, 255), a_slider("High Threshold", 200, 1, 255)),
            tags=("Canny",),
        ),
        HintModule("depth", "depth_midas", True, (_RESOLUTION,)),
        HintModule("hed", "softedge_hed", True, (_RESOLUTION,)),
        HintModule("mediapipe_face", "mediapipe_face", True, (_RESOLUTION, a_slider("Max Faces", 1, 1, 10))),
        HintModule(
            "openpose", "openpose_full", False, (_RESOLUTION,), ("OpenPose",), ("body_pose_model.pth",), "hub/repo"
        ),
        HintModule(
            "tile_colorfix+sharp",
            "tile_colorfix+sharp",
            True,
            (a_slider("Variation", 8, 3, 32), a_slider("Sharpness", 1, 0, 2)),
            tags=("Tile",),
        ),
        HintModule("inpaint", "inpaint_global_harmonious", True, tags=("Inpaint",)),
        *(HintModule(name, name, True, tags=("Inpaint",)) for name in ("inpaint_only", "inpaint_only+lama")),
        *(HintModule(name, name, True, tags=("Recolor",)) for name in ("recolor_luminance", "recolor_intensity")),
        *(
            HintModule(
                name,
                name,
                True,
                (a_slider("Style Fidelity (only for Balanced mode)", 0.5, 0.0, 1.0),),
                tags=("Reference",),
                model_free=True,
            )
            for name in ("reference_only", "reference_adain", "reference_adain+attn")
        ),
    ),
    default_checkpoint="tiny",
)

UPSCALERS = (replace(a_model("RealESRGAN_x4plus", "RealESRGAN_x4plus.pth"), alias="R-ESRGAN 4x+"), a_model("4x-Ultra"))
"""Upscalers that a catalogue may have."""

RESTORERS = (
    replace(a_model("GFPGANv1.3", "GFPGANv1.3.pth"), alias="GFPGAN"),
    replace(a_model("GFPGANv1.4", "GFPGANv1.4.pth"), alias="GFPGAN"),
)
CODEFORMER = replace(a_model("codeformer-v0.1.0", "codeformer-v0.1.0.pth"), alias="CodeFormer")
"""Face restorers that a catalogue may have."""


class FakeDiffuser(FakeCapabilities):
    """Implements every capability; those of `Diffuser` as clients of the Stable Diffusion web API need them."""

    def __init__(self) -> None:
        super().__init__()
        self.catalogue = CATALOGUE
        self.requests: list[GenerationRequest] = []
        self.hints: list[tuple[str, tuple[int, int], HintOptions]] = []
        self.upscaled: list[tuple[str, tuple[int, int]]] = []
        self.restored: list[tuple[str, int]] = []
        """Restorer and number of faces of each call."""
        self.restored_by: list[float] = []
        """Weight of each call."""
        self.failure: BaseException | None = None
        """Error that `generate` raises after the first step."""
        self.listing_failure: BaseException | None = None
        """Error that `list_models` raises."""
        self.listings = 0
        """Number of calls of `list_models`."""
        self.go = asyncio.Event()
        """Event that images wait for after the step `held_after`."""
        self.go.set()
        self.held_after = 1
        self.begun = asyncio.Semaphore(0)
        """Semaphore released for each image that has done its first step."""
        self.given_up = asyncio.Semaphore(0)
        """Semaphore released for each image that was stopped before its end."""
        self.running = self.most_running = 0
        self.in_progress: dict[str, SeenLatents] = {}
        """What the images in progress have, by ticket."""
        self.peeked: list[str] = []
        """Tickets that were asked for."""
        self.is_blind = False
        """Whether nothing can be seen, as where a replica does not answer."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationStep | GeneratedPicture]:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        steps = request.steps + (request.hires.steps if request.hires else 0)
        size = (request.hires.width, request.hires.height) if request.hires else (request.width, request.height)
        ticket = f"run {len(self.requests)}"
        try:
            for step in range(1, steps + 1):
                width, height = size if step > request.steps else (request.width, request.height)
                latents: Latents = np.full((4, height // 8, width // 8), 0.5, np.float16)
                self.in_progress[ticket] = SeenLatents(step, steps, latents)
                yield GenerationStep(step, steps, ticket)
                await asyncio.sleep(0)  # others get on meanwhile, as with an engine
                if step == 1:
                    self.begun.release()
                    if self.failure is not None:
                        raise self.failure
                if step == self.held_after:
                    await self.go.wait()
        except (GeneratorExit, asyncio.CancelledError):
            self.given_up.release()
            raise
        finally:
            self.running -= 1
            del self.in_progress[ticket]
        checkpoint = next(model for model in self.catalogue.checkpoints if model.name == (request.checkpoint or "tiny"))
        yield GeneratedPicture(a_picture(request, size), checkpoint.name, checkpoint.sha256)

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        self.peeked += tickets
        visible = {} if self.is_blind else self.in_progress
        return {ticket: visible[ticket] for ticket in tickets if ticket in visible}

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        grey = int(255 * float(latents[0, 0, 0]))
        return np.full((latents.shape[1] * 8, latents.shape[2] * 8, 3), grey, np.uint8)

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        known = next((one for one in self.catalogue.modules if module in (one.name, one.label)), None)
        if known is None:
            raise InvalidRequest(f"There is no preprocessor '{module}'.")
        if not known.available:
            raise WeightsMissing(f"The weights of {module} are missing.")
        self.hints.append((known.name, (image.shape[1], image.shape[0]), options))
        if options.mask is not None:
            return np.where(options.mask[..., None] > 127, 200, image).astype(np.uint8)
        return image if known.name == "none" or "Inpaint" in known.tags else np.asarray(255 - image, np.uint8)

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        self.upscaled.append((upscaler, size))
        return np.full((size[1], size[0], 3), 200, np.uint8)

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        self.restored.append((restorer, len(faces)))
        self.restored_by.append(weight)
        return [np.full_like(face, 200) for face in faces]

    async def list_models(self) -> ModelCatalogue:
        self.listings += 1
        if self.listing_failure is not None:
            raise self.listing_failure
        return self.catalogue

    def without(self, **kinds: tuple[ModelFile, ...]) -> None:
        """Replace kinds of models in the catalogue."""
        self.catalogue = replace(self.catalogue, **kinds)  # type: ignore[arg-type]


def a_picture(request: GenerationRequest, size: tuple[int, int]) -> Image:
    """Make the generated image: coarse noise by prompt and seed, or the negative of the init image under the mask."""
    if request.init_image is None:
        varied = request.variation_seed if request.variation_strength else 0
        rng = np.random.default_rng([zlib.crc32(request.prompt.encode()), request.seed, varied])
        cells = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
        return np.asarray(cells.repeat(8, axis=0).repeat(8, axis=1), np.uint8)
    made = 255 - request.init_image
    if request.mask is None:
        return np.asarray(made, np.uint8)
    return np.where(request.mask[..., None] > 127, made, request.init_image).astype(np.uint8)
