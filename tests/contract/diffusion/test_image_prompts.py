"""Image prompts (IP-Adapter): against diffusers' own adapters, and what happens with files that do not fit."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

import diffusers
import torch
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from deployments.contracts.arrays import Image
from deployments.contracts.diffusion import PROMPT_IMAGE_PX, ControlHint, Hires, ImagePrompt, Reference
from deployments.engines.diffusion.engine import DiffusionEngine
from deployments.engines.diffusion.graphs import Graphs
from deployments.errors import InvalidRequest
from tests.support import tiny_sdxl
from tests.support.builders import an_image
from tests.support.diffusing import NEGATIVE, PROMPT, SIZE, a_request, an_engine, difference, make, make_one
from tests.support.hostile import Boom
from tests.support.recording import Recorder
from tests.support.stock_samplers import LINSPACE
from tests.support.tiny_diffusion import CHECKPOINT, CONTROLNETS
from tests.support.tiny_ip_adapter import build_adapter, build_encoder, write_adapter, write_encoder

FILES = {
    "base": "ip-adapter_sd15.bin",
    "plus": "ip-adapter-plus_sd15.safetensors",
    "full": "ip-adapter-full-face_sd15.safetensors",
}
NAMES = {kind: Path(file).stem for kind, file in FILES.items()}
IMAGE, OTHER = (an_image((PROMPT_IMAGE_PX, PROMPT_IMAGE_PX), seed) for seed in (21, 22))
SEED, STEPS = 7, 4
BASE = ImagePrompt(NAMES["base"], IMAGE)


@pytest.fixture(scope="module")
def models(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small models with IP-Adapters and their image encoder."""
    folder = Path(shutil.copytree(tiny_models, tmp_path_factory.mktemp("adapters") / "models"))
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "checkpoints" / CHECKPOINT / "unet")
    with torch.random.fork_rng(devices=[]):
        for kind, file in FILES.items():
            write_adapter(folder / "controlnets" / file, build_adapter(unet, kind))  # type: ignore[arg-type]
        write_encoder(folder / "annotators" / "clip_vision" / "clip_h.pth", build_encoder())
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> DiffusionEngine:
    return an_engine(models)


@pytest.fixture(scope="module")
def encoder() -> CLIPVisionModelWithProjection:
    with torch.random.fork_rng(devices=[]):
        return build_encoder()


def paint(pipeline: Any, encoder: Any, file: Path, image: Image, weight: float, **words: Any) -> Image:
    """Make the picture by diffusers' own loader and pipeline."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    pipeline.register_modules(image_encoder=encoder, feature_extractor=CLIPImageProcessor())
    pipeline.set_ip_adapter_scale(weight)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config, **LINSPACE)
    noise = torch.randn((1, 4, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(SEED))
    made = pipeline(
        latents=noise,
        width=SIZE,
        height=SIZE,
        num_inference_steps=STEPS,
        guidance_scale=7.0,
        output_type="np",
        ip_adapter_image=[image],
        **words,
    )
    return np.asarray((made.images[0] * 255).round().astype(np.uint8))


@pytest.mark.parametrize("weight", [1.0, 0.4])
@pytest.mark.parametrize("kind", FILES)
def test_an_image_prompt_makes_the_picture_that_diffusers_makes(
    engine: DiffusionEngine, models: Path, encoder: Any, kind: str, weight: float
) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(models / "checkpoints" / CHECKPOINT)
    file = models / "controlnets" / FILES[kind]
    theirs = paint(pipeline, encoder, file, IMAGE, weight, prompt=PROMPT, negative_prompt=NEGATIVE)
    (ours,) = make(engine, a_request(image_prompts=(ImagePrompt(NAMES[kind], IMAGE, weight),)))
    assert ours.warnings == ()
    assert difference(ours.image, theirs) <= 1
    assert difference(ours.image, make_one(engine)) > 5
    other = make_one(engine, image_prompts=(ImagePrompt(NAMES[kind], OTHER, weight),))
    assert difference(ours.image, other) > 2


@pytest.fixture(scope="module")
def xl_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sdxl.write_models(tmp_path_factory.mktemp("xl") / "models")


@pytest.mark.parametrize(("kind", "clip", "width"), [("base", "clip_g", 1280), ("plus", "clip_h", 0)])
def test_an_image_prompt_of_sdxl_makes_the_picture_that_diffusers_makes(
    xl_models: Path, kind: Any, clip: str, width: int
) -> None:
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(xl_models / "checkpoints" / tiny_sdxl.CHECKPOINT)
    with torch.random.fork_rng(devices=[]):
        encoder = build_encoder(3, **({"projection_dim": width} if width else {}))
        tensors = build_adapter(pipeline.unet, kind, width=width)
    file = write_adapter(xl_models / "controlnets" / f"ip-adapter-{kind}_sdxl.safetensors", tensors)
    write_encoder(xl_models / "annotators" / "clip_vision" / f"{clip}.pth", encoder)
    engine = an_engine(xl_models, checkpoint=tiny_sdxl.CHECKPOINT)
    (ours,) = make(engine, a_request(image_prompts=(ImagePrompt(file.stem, IMAGE, 0.7),)))
    theirs = paint(pipeline, encoder, file, IMAGE, 0.7, prompt=PROMPT, negative_prompt=NEGATIVE)
    assert ours.warnings == ()
    assert difference(ours.image, theirs) <= 1
    assert difference(ours.image, make_one(engine)) > 5


def test_two_image_prompts_act_at_once_whatever_their_order(engine: DiffusionEngine) -> None:
    prompts = (BASE, ImagePrompt(NAMES["plus"], OTHER, 0.5))
    both = make_one(engine, image_prompts=prompts)
    assert difference(both, make_one(engine, image_prompts=prompts[::-1])) <= 1
    assert min(difference(both, make_one(engine, image_prompts=(one,))) for one in prompts) > 2


def test_an_image_prompt_without_weight_or_outside_its_window_changes_nothing_and_leaves_no_trace(
    engine: DiffusionEngine,
) -> None:
    plain = make_one(engine)
    for prompt in (replace(BASE, weight=0.0), replace(BASE, start=1.0)):
        np.testing.assert_array_equal(make_one(engine, image_prompts=(prompt,)), plain)
    make_one(engine, image_prompts=(BASE,))
    np.testing.assert_array_equal(make_one(engine), plain)


def test_an_image_prompt_acts_in_its_window(engine: DiffusionEngine) -> None:
    whole, early = (make_one(engine, image_prompts=(replace(BASE, end=end),)) for end in (1.0, 0.0))
    assert min(difference(whole, early), difference(early, make_one(engine))) > 1


def test_a_picture_with_an_image_prompt_is_the_same_alone_and_in_a_batch(engine: DiffusionEngine) -> None:
    own = a_request(image_prompts=(BASE,), sampler="Euler a")
    other = replace(own, seed=1, image_prompts=(replace(BASE, image=OTHER),))
    both = make(engine, other, own)
    assert difference(both[1].image, make(engine, own)[0].image) <= 1
    assert difference(both[0].image, make(engine, other)[0].image) <= 1


def test_requests_share_a_batch_where_only_the_images_of_their_prompts_differ(engine: DiffusionEngine) -> None:
    own = a_request(image_prompts=(BASE,))
    assert engine.key(own) == engine.key(replace(own, image_prompts=(replace(BASE, image=OTHER),)))
    for other in (replace(BASE, weight=0.5), replace(BASE, end=0.5), replace(BASE, model=NAMES["plus"])):
        assert engine.key(own) != engine.key(replace(own, image_prompts=(other,)))


def test_an_image_prompt_acts_in_the_passes_that_it_is_for(engine: DiffusionEngine) -> None:
    hires = Hires(96, 96, 2, 0.6)
    made = [
        make_one(engine, hires=hires, image_prompts=prompts)
        for prompts in ((), *((replace(BASE, passes=passes),) for passes in ("first", "hires", "both")))
    ]
    assert min(difference(one, other) for place, one in enumerate(made) for other in made[:place]) > 1


def test_an_image_prompt_acts_without_guidance_and_beside_controlnets_and_references(engine: DiffusionEngine) -> None:
    hint = an_image((SIZE, SIZE), 1)
    for changes in (
        {"guidance_scale": 1.0},
        {"controls": (ControlHint(CONTROLNETS["canny"], hint),)},
        {"references": (Reference(hint),)},
        {"prompt": f"{PROMPT} AND a red house"},
    ):
        assert difference(make_one(engine, image_prompts=(BASE,), **changes), make_one(engine, **changes)) > 2


def test_what_a_mask_covers_is_not_seen(engine: DiffusionEngine) -> None:
    mask = np.zeros((PROMPT_IMAGE_PX, PROMPT_IMAGE_PX), np.uint8)
    mask[:, : PROMPT_IMAGE_PX // 2] = 255
    changed = IMAGE.copy()
    changed[mask > 0] = 77
    one, other = (make_one(engine, image_prompts=(replace(BASE, image=own, mask=mask),)) for own in (IMAGE, changed))
    np.testing.assert_array_equal(one, other)
    assert difference(one, make_one(engine, image_prompts=(BASE,))) > 0


def test_recorded_calls_look_at_the_image_of_each_request(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[tuple[ImagePrompt, ...]] = [(replace(BASE, image=image, end=0.25),) for image in (IMAGE, OTHER)]
    ways += [(replace(BASE, weight=0.5),), (BASE, ImagePrompt(NAMES["plus"], OTHER)), ()]
    plain = [make_one(engine, image_prompts=way) for way in ways]
    monkeypatch.setattr(engine.models, "graphs", Graphs(Recorder()))
    for way, expected in [*zip(ways, plain, strict=True)] * 2:
        np.testing.assert_array_equal(make_one(engine, image_prompts=way), expected)


def test_image_prompts_and_references_act_in_half_precision(engine: DiffusionEngine, models: Path) -> None:
    half = an_engine(models, dtype="bfloat16")
    for changes in (
        {"image_prompts": (BASE, ImagePrompt(NAMES["plus"], OTHER))},
        {"references": (Reference(an_image((SIZE, SIZE), 3), how="both"),), "image_prompts": (BASE,)},
    ):
        own, whole = (make(one, a_request(**changes))[0] for one in (half, engine))
        assert own.warnings == ()
        apart = np.abs(own.image.astype(int) - whole.image).mean()
        assert apart < np.abs(own.image.astype(int) - make_one(half)).mean()


@pytest.mark.parametrize(
    "prompt",
    [
        replace(BASE, image=an_image((64, 64))),
        replace(BASE, weight=3),
        replace(BASE, start=1, end=0),
        replace(BASE, mask=np.zeros((64, 64), np.uint8)),
    ],
)
def test_an_absurd_image_prompt_is_refused(engine: DiffusionEngine, prompt: ImagePrompt) -> None:
    with pytest.raises(InvalidRequest):
        engine.check(a_request(image_prompts=(prompt,)))


def test_image_prompts_count_as_controls(engine: DiffusionEngine) -> None:
    with pytest.raises(InvalidRequest, match="At most"):
        engine.check(a_request(image_prompts=(BASE,) * 40))


class TestFilesThatDoNotFit:
    """Each leaves its image prompt out, with a warning that says why, and the picture is made without."""

    @pytest.fixture
    def folder(self, models: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(models, tmp_path / "models"))

    def left_out(self, folder: Path, name: str = NAMES["base"]) -> str:
        engine = an_engine(folder)
        good = ImagePrompt(NAMES["plus"], OTHER)
        (made,) = make(engine, a_request(image_prompts=(ImagePrompt(name, IMAGE),)))
        np.testing.assert_array_equal(made.image, make_one(engine))
        if (folder / "annotators" / "clip_vision" / "clip_h.pth").exists():  # the others are used all the same
            (beside,) = make(engine, a_request(image_prompts=(ImagePrompt(name, IMAGE), good)))
            np.testing.assert_array_equal(beside.image, make_one(engine, image_prompts=(good,)))
        (warning,) = made.warnings
        return warning

    def unet(self, folder: Path) -> Any:
        return diffusers.UNet2DConditionModel.from_pretrained(folder / "checkpoints" / CHECKPOINT / "unet")

    def test_a_missing_encoder_is_named_with_its_place(self, folder: Path) -> None:
        shutil.rmtree(folder / "annotators" / "clip_vision")
        warning = self.left_out(folder)
        assert "clip_h.pth is not in annotators/clip_vision/" in warning
        assert NAMES["base"] in warning

    def test_a_file_that_is_cut_short(self, folder: Path) -> None:
        file = folder / "controlnets" / FILES["full"]
        file.write_bytes(file.read_bytes()[:-100])
        assert "cut short" in self.left_out(folder, NAMES["full"])

    def test_an_encoder_that_is_cut_short(self, folder: Path) -> None:
        file = folder / "annotators" / "clip_vision" / "clip_h.pth"
        file.write_bytes(file.read_bytes()[:-2000])
        engine = an_engine(folder)
        (made,) = make(engine, a_request(image_prompts=(BASE,)))
        assert "clip_h.pth" in made.warnings[0]
        np.testing.assert_array_equal(made.image, make_one(engine))

    def test_an_encoder_without_some_of_its_tensors(self, folder: Path) -> None:
        file = folder / "annotators" / "clip_vision" / "clip_h.pth"
        tensors = torch.load(file)
        del tensors["vision_model.post_layernorm.bias"]
        torch.save(tensors, file)
        engine = an_engine(folder)
        (made,) = make(engine, a_request(image_prompts=(BASE,)))
        assert "vision_model.post_layernorm.bias" in made.warnings[0]
        np.testing.assert_array_equal(made.image, make_one(engine))

    def test_an_encoder_of_another_width(self, folder: Path) -> None:
        write_encoder(folder / "annotators" / "clip_vision" / "clip_h.pth", build_encoder(projection_dim=32))
        assert "other features than those of the image encoder clip_h" in self.left_out(folder)

    @pytest.mark.parametrize("changes", [{"image_size": 112}, {"hidden_size": 72}])
    def test_an_encoder_of_another_build(self, folder: Path, changes: dict[str, int]) -> None:
        heads = {"num_attention_heads": 8} if "hidden_size" in changes else {}
        write_encoder(folder / "annotators" / "clip_vision" / "clip_h.pth", build_encoder(**changes, **heads))
        engine = an_engine(folder)
        assert "no image encoder" in make(engine, a_request(image_prompts=(BASE,)))[0].warnings[0]

    def test_one_of_another_family(self, folder: Path) -> None:
        tensors = build_adapter(self.unet(folder))
        tensors["ip_adapter"] = {name: torch.zeros(640, 2048) for name in tensors["ip_adapter"]}
        write_adapter(folder / "controlnets" / "ip-adapter_sdxl.safetensors", tensors)
        assert "is an IP-Adapter for SDXL and the checkpoint is" in self.left_out(folder, "ip-adapter_sdxl")

    @pytest.mark.parametrize("odd", ["layer", "width", "half"])
    def test_one_whose_layers_are_not_the_checkpoints(self, folder: Path, odd: str) -> None:
        tensors = build_adapter(self.unet(folder))
        name = sorted(tensors["ip_adapter"])[0]
        own = tensors["ip_adapter"].pop(name)
        if odd == "layer":
            tensors["ip_adapter"].pop(name.replace("to_k", "to_v"))
        elif odd == "width":
            tensors["ip_adapter"][name] = own[:-1].contiguous()
        write_adapter(folder / "controlnets" / "ip-adapter_odd.safetensors", tensors)
        assert "layers are not" in self.left_out(folder, "ip-adapter_odd")

    def test_one_whose_projection_is_not_whole(self, folder: Path) -> None:
        tensors = build_adapter(self.unet(folder), "plus")
        del tensors["image_proj"]["layers.2.0.to_kv.weight"]
        write_adapter(folder / "controlnets" / "ip-adapter_odd.safetensors", tensors)
        assert "it is damaged" in self.left_out(folder, "ip-adapter_odd")

    def test_one_that_would_build_far_more_than_it_holds(self, folder: Path) -> None:
        tensors = build_adapter(self.unet(folder), "plus")
        tensors["image_proj"]["latents"] = torch.zeros(1, 1, 20_000)  # layers are built of it squared
        write_adapter(folder / "controlnets" / "ip-adapter_odd.safetensors", tensors)
        assert "larger than the file" in self.left_out(folder, "ip-adapter_odd")

    def test_one_that_sees_a_faces_identity_is_refused_by_its_kind(self, folder: Path) -> None:
        tensors = build_adapter(self.unet(folder))
        tensors["image_proj"] = {"proj.0.weight": torch.zeros(8, 8), "norm.weight": torch.zeros(32)}
        write_adapter(folder / "controlnets" / "ip-adapter-faceid_sd15.bin", tensors)
        assert "FaceID" in self.left_out(folder, "ip-adapter-faceid_sd15")

    def test_one_that_would_run_code(self, folder: Path, tmp_path: Path) -> None:
        tensors = build_adapter(self.unet(folder))
        mark = tmp_path / "mark"
        torch.save({**tensors, "more": Boom(os.mkdir, str(mark))}, folder / "controlnets" / "ip-adapter_bad.bin")
        assert "would run code" in self.left_out(folder, "ip-adapter_bad")
        assert not mark.exists()

    def test_a_controlnet_is_no_ip_adapter(self, folder: Path) -> None:
        assert "not an IP-Adapter" in self.left_out(folder, CONTROLNETS["canny"])

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        assert "There is no model 'nowhere'" in self.left_out(folder, "nowhere")


def test_the_catalogue_tells_the_encoder_of_each_ip_adapter(engine: DiffusionEngine) -> None:
    told = {model.name: (model.role, model.encoder) for model in engine.list_models().controlnets}
    assert {told[name] for name in NAMES.values()} == {("ip-adapter", "clip_h")}
    assert told[CONTROLNETS["canny"]] == ("controlnet", "")


def test_adapters_and_encoders_lie_within_the_memory_budget(engine: DiffusionEngine) -> None:
    make_one(engine, image_prompts=(BASE,))
    keys = {key[0] for key in engine.models.cache.keys()}
    assert {"checkpoints", "controlnets", "encoders"} <= keys


def test_the_encoder_sees_the_image_as_its_processor_prepares_it(engine: DiffusionEngine, encoder: Any) -> None:
    with engine.models.cache.lease() as lease, torch.no_grad():
        checkpoint = engine.models.checkpoint(lease, "")
        _, own = engine.models.image_prompter(lease, NAMES["base"], checkpoint)
        seen, nothing = own.see(IMAGE, None, details=False)
        given = CLIPImageProcessor()(images=IMAGE, return_tensors="pt").pixel_values
        torch.testing.assert_close(seen, encoder(given).image_embeds, rtol=1e-4, atol=1e-4)
    assert not nothing.any()
