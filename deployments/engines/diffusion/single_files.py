"""Networks from single files in the original's layout, with configurations of our own (see `descriptions`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deployments.engines.diffusion import descriptions
from deployments.engines.diffusion.descriptions import (
    CLIP,
    OPEN_CLIP,
    REFINER_CLIP,
    UNET,
    VAE,
    XL_CLIP,
    XL_OPEN_CLIP,
    Config,
)
from deployments.engines.diffusion.families import Family, FileKind, identify_unet
from deployments.errors import NotSupported, WeightsMissing

Tensors = Mapping[str, Any]
_POOLED = "shuffle"
"""Part of the names of ControlNets whose residuals are averaged over the picture."""
_ZERO_TERMINAL = "ztsnr"
"""Empty tensor by which a checkpoint says that it was trained down to zero terminal SNR."""
_V_TIMESTEP, _V_MEAN = 999, -1.0
"""A model that predicts v answers the last timestep with about minus its input; one that predicts noise with it."""


@dataclass(frozen=True)
class Parts:
    """Parts of a checkpoint; `vae` is None where the file holds none."""

    unet: Any
    vae: Any | None
    text_encoder: Any
    """None in SDXL's refiner, which has the second text encoder alone."""
    tokenizer: Any
    scheduler: Any
    text_encoder_2: Any = None
    """Text encoder that SDXL has besides; its tokenizer likewise."""
    tokenizer_2: Any = None


def build_checkpoint(tensors: Tensors, kind: FileKind, dtype: Any, path: Path, configs: Path) -> Parts:
    """Build the networks of a checkpoint.

    `configs`: a folder with a user's own configurations, which go before ours where they are of this family. Raises
    `NotSupported` for a file without text encoder, `WeightsMissing` for one without some of its tensors.
    """
    from diffusers.loaders import single_file_utils as convert

    tensors = _with_usual_names(tensors)
    shapes = _shapes_of(tensors)
    own = _UserConfigs(configs, kind.family, shapes)
    if not any(name.startswith(UNET) for name in shapes):
        raise NotSupported(
            f"The checkpoint '{path.name}' is a bare UNet: only whole checkpoints are loaded from files."
        )
    if not any(name.startswith(_ENCODERS) for name in shapes):
        raise NotSupported(f"The checkpoint '{path.name}' holds no text encoder.", extra={"model": path.name})
    config = own.read("unet") or descriptions.describe_unet(shapes, kind.family)
    unet = _build(
        "UNet2DConditionModel", config, convert.convert_ldm_unet_checkpoint(dict(tensors), config), dtype, path
    )
    has_vae = any(name.startswith(VAE) for name in shapes)
    vae = build_vae(tensors, kind.family, dtype, path, own.read("vae")) if has_vae else None
    encoders = _TextEncoders(tensors, kind.family, own, dtype, path)
    first, second = encoders.build(1), encoders.build(2)
    scheduler = own.read("scheduler") or dict(descriptions.SCHEDULER)
    prediction = kind.prediction or _prediction_beside(path) or scheduler.get("prediction_type")
    if prediction is None:
        prediction = _probe(unet, *first) if kind.family == "sd2" else "epsilon"
    scheduler |= {"prediction_type": prediction}
    if _ZERO_TERMINAL in tensors:
        scheduler["rescale_betas_zero_snr"] = True
    return Parts(unet, vae, *first, _make_scheduler(kind.family, scheduler), *second)


def _make_scheduler(family: Family, config: Config) -> Any:
    """Make the scheduler that checkpoints of the family ship."""
    from diffusers import EulerDiscreteScheduler, PNDMScheduler

    return (EulerDiscreteScheduler if family.startswith("sdxl") else PNDMScheduler).from_config(config)


def build_vae(tensors: Tensors, family: Family, dtype: Any, path: Path, config: Config | None = None) -> Any:
    """Build a VAE, for checkpoints of `family`, from a checkpoint or a file of its own. Raises `WeightsMissing`."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    shapes = _shapes_of(tensors)
    ours = descriptions.describe_vae(shapes, family)
    config = config if config and config.get("block_out_channels") == ours["block_out_channels"] else ours
    if any(name.startswith("encoder.down_blocks.") for name in shapes):
        return _build("AutoencoderKL", config, tensors, dtype, path)
    return _build("AutoencoderKL", config, convert_ldm_vae_checkpoint(dict(tensors), config), dtype, path)


def build_controlnet(tensors: Tensors, family: Family, dtype: Any, path: Path, configs: Path) -> Any:
    """Build a ControlNet. Raises `WeightsMissing`."""
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    shapes = _shapes_of(tensors)
    config = descriptions.describe_controlnet(shapes, family)
    if (own := read_config(configs / "config.json")) and _is_alike(own, config):
        config = own
    if _POOLED in path.stem.lower():  # only its name tells, as in the extension
        config = {**config, "global_pool_conditions": True}
    found = dict(convert_controlnet_checkpoint(dict(tensors), config))
    for place, name in (("0", "linear_1"), ("2", "linear_2")):  # of SDXL, which diffusers leaves out
        for kind in ("weight", "bias"):
            own_name = next((n for n in tensors if n.endswith(f"label_emb.0.{place}.{kind}")), "")
            found |= {f"add_embedding.{name}.{kind}": tensors[own_name]} if own_name else {}
    return _build("ControlNetModel", config, found, dtype, path)


def build_union(tensors: Tensors, family: Family, dtype: Any, path: Path) -> Any:
    """Build a ControlNet union model. Raises `WeightsMissing`."""
    return _build(
        "ControlNetUnionModel", descriptions.describe_union(_shapes_of(tensors), family), tensors, dtype, path
    )


def _shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


_ENCODERS = (CLIP, OPEN_CLIP, XL_CLIP, XL_OPEN_CLIP, REFINER_CLIP)
_OPEN_CLIPS = (OPEN_CLIP, XL_OPEN_CLIP, REFINER_CLIP)


class _TextEncoders:
    """Builder of the text encoders of a checkpoint."""

    def __init__(self, tensors: Tensors, family: Family, own: _UserConfigs, dtype: Any, path: Path) -> None:
        self._tensors, self._family, self._own, self._dtype, self._path = tensors, family, own, dtype, path
        self._shapes = _shapes_of(tensors)

    def build(self, place: int) -> tuple[Any, Any]:
        """Build the first or the second text encoder and its tokenizer; (None, None) where the family has none."""
        prefix = self._prefix(place)
        if not prefix:
            return None, None
        part = "text_encoder" if place == 1 else "text_encoder_2"
        config = self._own.read(part) or descriptions.describe_text_encoder(self._shapes, prefix)
        network = _empty(lambda: _text_network(config, pooled=place == 2))
        tokenizer = self._own.tokenizer(place) or descriptions.make_tokenizer(self._family, second=place == 2)
        return _fill(network, self._converted(network, prefix), self._dtype, self._path), tokenizer

    def _prefix(self, place: int) -> str:
        prefixes = {"sdxl": (XL_CLIP, XL_OPEN_CLIP), "sdxl-refiner": ("", REFINER_CLIP)}.get(self._family)
        if prefixes is None:
            is_open = any(name.startswith(OPEN_CLIP) for name in self._shapes)
            prefixes = (OPEN_CLIP if is_open else CLIP, "")
        return prefixes[place - 1]

    def _converted(self, network: Any, prefix: str) -> dict[str, Any]:
        """Tensors of a text encoder by the names of transformers."""
        from diffusers.loaders import single_file_utils as convert

        if prefix in _OPEN_CLIPS:
            last = f"{prefix}transformer.resblocks.{network.config.num_hidden_layers}."
            kept = {name: tensor for name, tensor in self._tensors.items() if not name.startswith(last)}
            if prefix == OPEN_CLIP:
                kept.pop(f"{prefix}text_projection", None)
            found = dict(convert.convert_open_clip_checkpoint(network, kept, prefix=prefix))
        else:
            found = dict(convert.convert_ldm_clip_checkpoint(dict(self._tensors)))
        if not hasattr(network, "text_model"):  # transformers 5.6 took the wrapper away
            found = {name.removeprefix("text_model."): tensor for name, tensor in found.items()}
        return found


def _text_network(config: Config, *, pooled: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    return (CLIPTextModelWithProjection if pooled else CLIPTextModel)(CLIPTextConfig(**config))


def _with_usual_names(tensors: Tensors) -> dict[str, Any]:
    """Rename the text encoder of early models, which lacks a level of names."""
    early = re.compile(rf"^{re.escape(CLIP)}(embeddings|encoder|final_layer_norm)\.")
    return {early.sub(rf"{CLIP}text_model.\1.", name): tensor for name, tensor in tensors.items()}


def build_network(make: Callable[[], Any], tensors: Tensors, dtype: Any, path: Path) -> Any:
    """Build a network that `make` makes, with the weights of a file. Raises `WeightsMissing`."""
    return _fill(_empty(make), tensors, dtype, path)


def _build(cls: str, config: Mapping[str, Any], tensors: Tensors, dtype: Any, path: Path) -> Any:
    import diffusers

    return _fill(_empty(lambda: getattr(diffusers, cls).from_config(dict(config))), tensors, dtype, path)


def _empty(make: Any) -> Any:
    """Make a network whose weights take no memory yet."""
    from accelerate import init_empty_weights

    with init_empty_weights():
        return make()


def _fill(network: Any, tensors: Tensors, dtype: Any, path: Path) -> Any:
    """Give a network its weights, copied, for the file may change. Raises `WeightsMissing` for those that are not there
    or have another shape; surplus ones are ignored."""
    import torch

    wanted = network.state_dict()
    if missing := [name for name in wanted if name not in tensors]:
        raise WeightsMissing(
            f"The model '{path.name}' is not complete: {len(missing)} of {len(wanted)} tensors of "
            f"{type(network).__name__} are missing, the first is {missing[0]}.",
            extra={"model": path.name},
        )
    for name, place in wanted.items():
        if tuple(tensors[name].shape) != tuple(place.shape):
            raise WeightsMissing(
                f"The model '{path.name}' is damaged or of a shape that is not known: {name} is "
                f"{tuple(tensors[name].shape)}, not {tuple(place.shape)}.",
                extra={"model": path.name},
            )
    filled = {name: tensors[name].to(dtype, copy=True) for name in wanted}
    torch.nn.Module.load_state_dict(network, filled, assign=True)  # classes that override it do not know `assign`
    return network.to(dtype).eval()


def _probe(unet: Any, encoder: Any, tokenizer: Any) -> Literal["epsilon", "v_prediction"]:
    """Find out what an SD 2 predicts, as A1111 does: by its answer to the last timestep."""
    import torch

    ids = tokenizer("", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        sample = torch.full((1, unet.config.in_channels, 8, 8), 0.5)
        answer = unet(sample.to(unet.dtype), _V_TIMESTEP, encoder(ids)[0]).sample.float()
        difference = float((answer - sample[:, : answer.shape[1]]).mean())
    return "v_prediction" if difference < _V_MEAN else "epsilon"


def _prediction_beside(path: Path) -> Literal["epsilon", "v_prediction"] | None:
    """Read the prediction type from A1111's configuration beside a checkpoint (`name.yaml`)."""
    try:
        text = path.with_suffix(".yaml").read_text()
    except (OSError, ValueError):
        return None
    return "v_prediction" if re.search(r"""parameterization:\s*["']?v["']?\s*$""", text, re.MULTILINE) else "epsilon"


class _UserConfigs:
    """A user's own configurations, a folder as diffusers saves it; used for files of the family that it describes."""

    def __init__(self, folder: Path, family: Family, shapes: Mapping[str, tuple[int, ...]]) -> None:
        config = read_config(folder / "unet" / "config.json")
        ours = descriptions.describe_unet(shapes, family) if config else {}
        self._folder = folder if config and _is_alike(config, ours) else None

    def read(self, part: str) -> Config | None:
        """Read the configuration of a part; None where there is none that fits."""
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        return read_config(self._folder / part / name) if self._folder else None

    def tokenizer(self, place: int) -> Any | None:
        """Load the first or the second tokenizer, if there is one."""
        name = "tokenizer" if place == 1 else "tokenizer_2"
        if self._folder is None or not (self._folder / name).is_dir():
            return None
        from transformers import CLIPTokenizer

        return CLIPTokenizer.from_pretrained(self._folder / name, local_files_only=True)


def _is_alike(own: Config, ours: Config) -> bool:
    return all(
        own.get(name) == ours[name] for name in ("block_out_channels", "cross_attention_dim", "in_channels")
    ) and bool(own.get("use_linear_projection")) == bool(ours["use_linear_projection"])


def read_vae_config(folder: Path, family: Family) -> Config | None:
    """Read a user's own configuration of a VAE for checkpoints of `family`; None where there is none of that family.

    Its scale is another in each: the UNet's configuration beside it tells the family, or else the scale itself.
    """
    config, unet = (read_config(folder / part / "config.json") for part in ("vae", "unet"))
    if config is None:
        return None
    scale = config.get("scaling_factor", descriptions.latent_scale(""))
    told = scale if unet is None else descriptions.latent_scale(identify_unet(unet).family)
    is_anothers = told in descriptions.LATENT_SCALES and told != descriptions.latent_scale(family)
    return None if is_anothers else config


def read_config(path: Path) -> Config | None:
    """Read a configuration; None where there is none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
