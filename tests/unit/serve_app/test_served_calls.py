"""What a replica tells of the calls that it served: counts, a log line, and whose they were."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle

from deployments.capabilities import CAPABILITIES
from deployments.contracts.arrays import VIEWS
from deployments.errors import NoFace, WeightsMissing
from deployments.kit import batch_sizes
from serve_app.remote_calls import remotely_callable
from serve_app.served_calls import _BY_ARGUMENT, _ONE, ServedCalls, pictures_of
from serve_app.telemetry import Metrics
from tests.support.log_lines import Read, logged


class Capability:
    """Finds faces as its argument says."""

    async def find_faces(self, images: list[Any]) -> int:
        if not images:
            raise NoFace("There is no face.")
        if images == ["broken"]:
            raise WeightsMissing("The file is missing.")
        return len(images)

    async def check(self, capability: str) -> None:
        """Pass."""

    async def generate(self, request: Any) -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()


def watch() -> ServedCalls:
    return ServedCalls(Metrics("replica"), "Faces")


@pytest.fixture
def lines() -> Iterator[Read]:
    with logged("DEBUG") as read:
        yield read


@pytest.fixture
def replica() -> Any:
    """As a replica has it: Serve pickles the class."""
    return cloudpickle.loads(cloudpickle.dumps(remotely_callable(Capability, watch)))()


def counted(replica: Any) -> dict[str, float]:
    """Calls by outcome."""
    [family] = [
        family
        for family in replica._served_calls._metrics.registry.collect()
        if family.name == "darkroom_replica_served_calls"
    ]
    return {
        f"{sample.labels['verb']} {sample.labels['outcome']}": sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def test_a_call_leaves_a_line_that_says_what_was_done_and_for_whom(replica: Any, lines: Read) -> None:
    context = {"request_id": "r-1", "job": "job_1", "user": "usr_1", "foreign": "x"}
    assert await replica.find_faces([1, 2, 3], user="usr_1", context=context) == 3
    [said] = lines()
    assert isinstance(said.pop("milliseconds"), int)
    assert "foreign" not in said
    expected = {"event": "call served", "deployment": "Faces", "verb": "find_faces", "outcome": "ok", "pictures": 3}
    ids = {"request_id": "r-1", "job": "job_1", "user": "usr_1", "level": "info"}
    assert {name: said[name] for name in expected | ids} == expected | ids


async def test_the_ids_of_a_call_are_not_those_of_the_next(replica: Any, lines: Read) -> None:
    await replica.find_faces([1], context={"request_id": "r-1"})
    lines()
    await replica.find_faces([1])
    [said] = lines()
    assert "request_id" not in said


async def test_answers_refusals_and_faults_are_counted_apart(replica: Any) -> None:
    await replica.find_faces([1, 2])
    await replica.find_faces([])
    with pytest.raises(WeightsMissing):
        await replica.find_faces(["broken"])
    assert counted(replica) == {"find_faces ok": 1.0, "find_faces refused": 1.0, "find_faces failed": 1.0}
    page = replica._served_calls._metrics.render().decode()
    assert 'darkroom_replica_served_pictures_total{verb="find_faces"} 2.0' in page
    assert 'darkroom_replica_served_seconds_count{verb="find_faces"} 3.0' in page


async def test_a_fault_is_a_warning_and_a_health_check_no_news(replica: Any, lines: Read) -> None:
    with pytest.raises(WeightsMissing):
        await replica.find_faces(["broken"])
    assert [line["level"] for line in lines()] == ["warning"]
    await replica.check("faces")
    assert [line["level"] for line in lines()] == ["debug"]


async def test_a_stream_that_its_reader_closes_counts_as_cancelled(replica: Any, lines: Read) -> None:
    events = replica.generate("x", context={"request_id": "r-2"})
    assert await anext(events) == 1
    await events.aclose()
    assert counted(replica) == {"generate cancelled": 1.0}
    assert [line["request_id"] for line in lines()] == ["r-2"]


def test_pictures_are_counted_by_the_argument_that_holds_them() -> None:
    assert pictures_of("embed_images", (np.zeros((4 * len(VIEWS), 8, 8, 3), np.uint8),)) == 4
    assert pictures_of("find_faces", ([object()] * 3,)) == 3
    assert pictures_of("search_images", ("a cat", np.zeros((5, 7, 3), np.float32))) == 5
    assert pictures_of("stylize", ("opencv", object())) == 1
    assert pictures_of("list_models", ()) == 0


def test_every_verb_of_a_capability_is_counted_in_pictures_but_those_about_faces_and_texts() -> None:
    classes = [one.load() for one in CAPABILITIES.values() if not one.is_optional]
    names = {name for one in classes for name in vars(one) if inspect.iscoroutinefunction(getattr(one, name))}
    verbs = {name for name in names if not name.startswith("_")} - {"check", "check_health", "aclose"}
    diffusion = {"generate", "decode_latents", "make_hint", "upscale", "restore_faces"}
    assert {*_BY_ARGUMENT, *_ONE, "embed_images"} - diffusion == verbs - {"cluster_faces", "embed_texts"}


def test_calls_that_a_pass_of_a_model_serves_together_are_counted_by_their_number() -> None:
    metrics = Metrics("replica")
    ServedCalls(metrics, "Embedding")
    for calls in (1, 3, 3):
        batch_sizes.tell("embed_images", calls)
    page = metrics.render().decode()
    assert 'darkroom_replica_served_together_bucket{le="2.0",verb="embed_images"} 1.0' in page
    assert 'darkroom_replica_served_together_count{verb="embed_images"} 3.0' in page
    assert 'darkroom_replica_served_together_sum{verb="embed_images"} 7.0' in page
