"""A parsed generation request as a job carries it: all but the images, which are the job's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from serve_app.services.jobs.needs import MEMBER, Need
from serve_app.services.sdapi.adetailer import DetailUnit
from serve_app.services.sdapi.controlnet.units import ControlNetUnit
from serve_app.services.sdapi.face_restoration import GFPGAN
from serve_app.services.sdapi.options import Options, SamplingOptions
from serve_app.services.sdapi.previews import PreviewOptions
from serve_app.services.sdapi.requests import GenerationBody, Img2ImgBody, Txt2ImgBody

SdapiKind = Literal["txt2img", "img2img"]
KINDS: tuple[SdapiKind, ...] = ("txt2img", "img2img")
XYZ_PLOT = "x/y/z plot"
"""Name of the script, as bodies have it."""
IMAGE_FIELDS = {"init_images", "mask", "latent_mask", "firstpass_image", "alwayson_scripts", "infotext", "comments"}
"""Fields that hold images, or were used up when the request was read."""


@dataclass(frozen=True, slots=True)
class GenerationOrder:
    """A checked request with the settings and ControlNet units that hold for it."""

    kind: SdapiKind
    body: GenerationBody
    options: Options
    units: tuple[ControlNetUnit, ...] = ()
    details: tuple[DetailUnit, ...] = ()
    """Units of ADetailer."""
    warnings: tuple[str, ...] = ()
    """Warnings from when it was accepted."""
    catalogue: str = ""
    """Digest of the catalogue that it was checked by (`last_catalogue`); empty: not known."""

    def payload(self) -> dict[str, Any]:
        """Serialise for the job queue."""
        options = asdict(self.options)
        apart = {
            name: options.pop(name) for name in ("previews", "sampling", "face_restorer", "restorer_weight")
        }  # workers of an older version look past, and make the same but for their own settings
        return {
            "request": self.body.model_dump(exclude=IMAGE_FIELDS),
            "options": options,
            **apart,
            MEMBER: self._needs(),
            "units": [unit.model_dump(exclude={"image", "mask"}) for unit in self.units],
            "details": [unit.model_dump() for unit in self.details],
            "warnings": list(self.warnings),
            "catalogue": self.catalogue,
            "task_id": self.body.force_task_id,
        }

    def _needs(self) -> list[Need]:
        """Parts of this request that older workers would look past."""
        needs: list[Need] = ["adetailer"] if self.details else []
        return [*needs, "xyz-plot"] if self.body.script == XYZ_PLOT else needs

    @classmethod
    def of(cls, kind: str, payload: dict[str, Any]) -> GenerationOrder:
        """Read back what `payload` wrote."""
        form = Txt2ImgBody if kind == "txt2img" else Img2ImgBody
        return cls(
            "txt2img" if kind == "txt2img" else "img2img",
            form.model_validate(payload["request"]),
            Options(
                **payload["options"],
                previews=preview_options(payload),
                sampling=SamplingOptions(**_tuples(payload.get("sampling", {}))),
                face_restorer=payload.get("face_restorer", GFPGAN),
                restorer_weight=payload.get("restorer_weight", 0.5),
            ),
            tuple(ControlNetUnit.model_validate(unit) for unit in payload["units"]),
            tuple(DetailUnit.model_validate(unit) for unit in payload.get("details", ())),
            tuple(payload["warnings"]),
            payload.get("catalogue", ""),
        )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read back tuples, which are lists in JSON: batches compare requests."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def preview_options(payload: Mapping[str, Any]) -> PreviewOptions:
    """Read back the settings of live previews from a job's payload."""
    return PreviewOptions(**payload.get("previews", {}))
