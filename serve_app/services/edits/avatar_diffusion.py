"""Avatars by the diffusion engine: one head after the other is inpainted, in a crop of a size that the model knows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from configs.settings import Avatars
from deployments.algorithms.a1111.prompts.extra_networks import extract_networks
from deployments.algorithms.segmentation.head_crops import HeadCrop, cut_head, put_head_back
from deployments.algorithms.segmentation.head_masks import head_mask
from deployments.contracts.arrays import Gray
from deployments.contracts.diffusion import MAX_SEED, Diffuser, GenerationRequest
from deployments.contracts.portraits import AvatarPicture, AvatarTask, SegmentedFace
from serve_app.services.edits.diffusion import find_loras, generate_picture
from serve_app.services.jobs.progress import Progress
from serve_app.services.sdapi.controlnet.fitting import family_of


class DiffusionAvatarArtist:
    """Engine `diffusers`: inpainting under each head's mask."""

    def __init__(self, diffuser: Diffuser, settings: Avatars) -> None:
        self._diffuser = diffuser
        self._settings = settings

    async def render(self, request: AvatarTask, progress: Progress) -> AvatarPicture:
        """Inpaint the heads in order, each on top of those before. Raises what `Diffuser` raises."""
        asked = extract_networks(request.prompt)
        catalogue = await self._diffuser.list_models()
        loras, warnings = find_loras(asked.loras, catalogue)
        is_xl = family_of(catalogue, self._settings.checkpoint) == "sdxl"
        pixels = self._settings.diffusion_pixels_xl if is_xl else self._settings.diffusion_pixels
        image, changed = request.image, []
        faces = request.segmentation.faces
        for number, face in enumerate(faces):
            mask, crop = await asyncio.to_thread(_cut, replace(request, image=image), face, pixels)
            if crop is None:  # its head lies outside of the image
                continue
            wanted = GenerationRequest(
                prompt=asked.text,
                negative_prompt=request.negative_prompt,
                seed=(request.seed + number) % (MAX_SEED + 1),
                width=crop.image.shape[1],
                height=crop.image.shape[0],
                steps=self._settings.diffusion_steps,
                sampler="DPM++ 2M",
                scheduler="Karras",
                checkpoint=self._settings.checkpoint,
                loras=loras,
                init_image=crop.image,
                mask=crop.mask,
                masked_content="original",
                denoising_strength=request.strength,
            )
            part = progress.part(number / len(faces), (number + 1) / len(faces))
            made = await generate_picture(self._diffuser, wanted, part)
            image = await asyncio.to_thread(put_head_back, image, mask, crop, made.image)
            warnings += [warning for warning in made.warnings if warning not in warnings]
            changed.append(number)
        return AvatarPicture(image, tuple(changed), tuple(warnings))


def _cut(request: AvatarTask, face: SegmentedFace, pixels: int) -> tuple[Gray, HeadCrop | None]:
    mask = head_mask(replace(request.segmentation, faces=(face,)), request.mode)
    return mask, cut_head(request.image, mask, pixels)
