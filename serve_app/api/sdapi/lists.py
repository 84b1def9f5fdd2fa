"""Routes that list models, samplers, upscalers and scripts, and memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from deployments.contracts.diffusion import ModelCatalogue, ModelFile
from serve_app.api.deps import CurrentUser, ServicesDep, SettingsDep
from serve_app.api.sdapi.errors import responses
from serve_app.api.sdapi.generation import TAG
from serve_app.services.sdapi.face_restoration import restorers_here
from serve_app.services.sdapi.listings import IMAGE_UPSCALERS, LATENT_UPSCALERS, sampler_rows, scheduler_rows
from serve_app.services.sdapi.model_names import title
from serve_app.services.sdapi.prompts import prompt_styles
from serve_app.services.sdapi.requests import ALWAYS_ON, SCRIPTS

router = APIRouter(prefix="/sdapi/v1", tags=[TAG])

_MODELS = responses(503, 504)
_ALWAYS_ON = [*ALWAYS_ON, "controlnet m2m"]
"""The second is no script here: `webuiapi` takes its name for the sign that ControlNet is there."""
Row = dict[str, Any]


@router.get("/samplers", response_model=list[Row])
async def list_samplers() -> list[Row]:
    """List samplers, by the names that requests take."""
    return sampler_rows()


@router.get("/schedulers", response_model=list[Row])
async def list_schedulers() -> list[Row]:
    """List schedules of noise."""
    return scheduler_rows()


@router.get("/sd-models", response_model=list[Row], responses=_MODELS)
async def list_checkpoints(services: ServicesDep) -> list[Row]:
    """List checkpoints; file names only, no folders of this machine."""
    return [
        {
            "title": title(model),
            "model_name": model.name,
            "hash": model.sha256[:10] or None,
            "sha256": model.sha256 or None,
            "filename": model.file,
            "config": None,
        }
        for model in (await services.options.catalogue()).checkpoints
    ]


@router.get("/sd-vae", response_model=list[Row], responses=_MODELS)
async def list_vaes(services: ServicesDep) -> list[Row]:
    """List VAEs that a checkpoint can be given instead of its own."""
    return [{"model_name": vae.name, "filename": vae.file} for vae in (await services.options.catalogue()).vaes]


@router.get("/loras", response_model=list[Row], responses=_MODELS)
async def list_loras(services: ServicesDep) -> list[Row]:
    """List LoRAs, which a prompt names as `<lora:name:weight>`."""
    return [
        {"name": lora.name, "alias": lora.alias, "path": lora.file, "metadata": {}}
        for lora in (await services.options.catalogue()).loras
    ]


@router.get("/upscalers", response_model=list[Row], responses=_MODELS)
async def list_upscalers(services: ServicesDep) -> list[Row]:
    """List ways of enlarging an image."""
    plain: Row = {"model_name": None, "model_path": None, "model_url": None, "scale": 4.0}
    networks = (await services.options.catalogue()).upscalers
    return [
        *({"name": name, **plain} for name in IMAGE_UPSCALERS),
        *({**plain, "name": one.alias, "model_name": one.name, "model_path": one.file} for one in networks),
    ]


@router.get("/latent-upscale-modes", response_model=list[Row])
async def list_latent_upscale_modes() -> list[Row]:
    """List ways of enlarging latents between the passes of hires fix."""
    return [{"name": name} for name in LATENT_UPSCALERS]


@router.get("/face-restorers", response_model=list[Row], responses=_MODELS)
async def list_face_restorers(services: ServicesDep) -> list[Row]:
    """List the face restorers that can run, with their licences; no folders of this machine."""
    here = restorers_here(await services.options.catalogue())
    return [{"name": name, "cmd_dir": None, "licence": licence} for name, licence in here.items()]


@router.get("/realesrgan-models", response_model=list[Row], responses=_MODELS)
async def list_realesrgan_models(services: ServicesDep) -> list[Row]:
    """List the files of Real-ESRGAN's authors among the upscalers."""
    networks = (await services.options.catalogue()).upscalers
    return [{"name": one.alias, "path": one.file, "scale": 4.0} for one in networks if one.alias.startswith("R-ESRGAN")]


@router.get("/prompt-styles", response_model=list[Row])
async def list_prompt_styles() -> list[Row]:
    """List styles of prompts, which `styles` of a request names."""
    return [
        {"name": style.name, "prompt": style.prompt, "negative_prompt": style.negative_prompt}
        for style in prompt_styles()
    ]


@router.get("/embeddings", response_model=dict[str, Row], responses=_MODELS)
async def list_embeddings(services: ServicesDep, user: CurrentUser) -> dict[str, Row]:
    """List textual inversions; those for another family than the current checkpoint's are skipped."""
    loaded, skipped = await services.options.embeddings(user)
    return {"loaded": _inversions(loaded), "skipped": _inversions(skipped)}


def _inversions(models: Sequence[ModelFile]) -> Row:
    unknown = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None}
    return {model.name: {**unknown, "shape": model.width, "vectors": model.vectors} for model in models}


@router.get("/hypernetworks", response_model=list[Row])
async def list_hypernetworks() -> list[Row]:
    """List no hypernetworks: there are none here."""
    return []


@router.get("/scripts", response_model=dict[str, list[str]])
async def list_scripts() -> dict[str, list[str]]:
    """List scripts by the kind of request that takes them."""
    return {kind: [*names, *_ALWAYS_ON] for kind, names in SCRIPTS.items()}


@router.get("/script-info", response_model=list[Row])
async def list_script_info() -> list[Row]:
    """Describe scripts: which are always on, and for which kind of request."""
    titles = [(name, False, kind) for kind, names in SCRIPTS.items() for name in names]
    titles += [(name, True, kind) for kind in SCRIPTS for name in ALWAYS_ON]
    return [
        {"name": name, "is_alwayson": always, "is_img2img": kind == "img2img", "args": []}
        for name, always, kind in titles
    ]


@router.get("/extensions", response_model=list[Row])
async def list_extensions() -> list[Row]:
    """List the one extension that clients look for: ControlNet."""
    return [
        {
            "name": "sd-webui-controlnet",
            "remote": "",
            "branch": "",
            "commit_hash": "",
            "version": "",
            "commit_date": 0,
            "enabled": True,
        }
    ]


@router.get("/cmd-flags", response_model=Row)
async def get_flags(settings: SettingsDep) -> Row:
    """Read the flags that clients look for. The original shows everything it was started with, credentials too."""
    return {
        "api": True,
        "nowebui": True,
        "api_auth": None,
        "api_server_stop": False,
        "no_half": settings.diffusion.dtype == "float32",
        "use_cpu": ["all"] if settings.diffusion.device == "cpu" else [],
        "lowvram": False,
        "medvram": False,
        "ckpt": settings.diffusion.checkpoint,
    }


@router.get("/memory", response_model=Row, responses=_MODELS)
async def get_memory(services: ServicesDep) -> Row:
    """Read the memory of this machine, and of the diffusion engine's GPU where there is one."""
    total, free = (_pages(name) * _pages("SC_PAGE_SIZE") for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    ram = {"free": free, "used": total - free, "total": total}
    return {"ram": ram, "cuda": _cuda(await services.options.catalogue())}


def _pages(name: str) -> int:
    """0 where the system does not tell."""
    return os.sysconf(name) if name in os.sysconf_names else 0


def _cuda(catalogue: ModelCatalogue) -> Row:
    memory = catalogue.memory
    if not memory:
        return {"error": "unavailable"}
    used, total, peak = (memory.get(name, 0) for name in ("used", "total", "peak"))
    level = {"current": used, "peak": peak}
    return {
        "system": {"free": total - used, "used": used, "total": total},
        **dict.fromkeys(("active", "allocated", "reserved"), level),
        "inactive": {"current": 0, "peak": 0},
        "events": {"retries": 0, "oom": 0},
    }


@router.post("/refresh-checkpoints", response_model=None)
async def refresh_checkpoints() -> None:
    """Do nothing: the folder of checkpoints is looked into whenever it is listed."""


@router.post("/refresh-vae", response_model=None)
async def refresh_vaes() -> None:
    """Do nothing: the folder of VAEs is looked into whenever it is listed."""


@router.post("/refresh-embeddings", response_model=None)
async def refresh_embeddings() -> None:
    """Do nothing: the folder of textual inversions is looked into whenever it is listed."""


@router.post("/refresh-loras", response_model=None)
async def refresh_loras() -> None:
    """Do nothing: the folder of LoRAs is looked into whenever it is listed."""


@router.post("/unload-checkpoint", response_model=Row)
async def unload_checkpoint() -> Row:
    """Do nothing: the engine unloads models within its memory budget by itself."""
    return {}


@router.post("/reload-checkpoint", response_model=Row)
async def reload_checkpoint() -> Row:
    """Do nothing: the engine loads a model when a request needs it."""
    return {}
