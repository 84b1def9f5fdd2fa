"""Capabilities over Ray Serve handles: deadlines, retries after a lost replica, and Ray's errors as ours.

Services call these methods through the contracts and cannot tell whether a replica, a fake or the engine itself
answers. Every capability is a function of its inputs, so a call that died with its replica is made again.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from configs.settings import Deadlines
from deployments.capabilities import CAPABILITIES
from deployments.contracts.albums import Face, LocalFeatures, Pairs, PairVerdict
from deployments.contracts.arrays import Image, Packed, StoredVectors, Vectors
from deployments.contracts.diffusion import (
    GeneratedPicture,
    GenerationRequest,
    GenerationStep,
    HintOptions,
    Latents,
    ModelCatalogue,
    SeenLatents,
)
from deployments.contracts.portraits import AvatarPicture, AvatarTask, Segmentation
from deployments.contracts.styles import StyledPicture, StyleTask
from deployments.contracts.texts import ANY_TEXT, Text, TextOptions
from deployments.errors import (
    CapabilityFailed,
    DarkroomError,
    DeadlineExceeded,
    NotDeployed,
    Overloaded,
    Unavailable,
)
from deployments.kit.turns import Turns, acting_user
from serve_app import tracing
from serve_app.broadcasts import ask_all
from serve_app.call_context import carried
from serve_app.remote_calls import opened
from serve_app.telemetry import Metrics

log = structlog.get_logger(__name__)

Handle = DeploymentHandle[Any]

_RETRIES = 4
_BACKOFF_S = 0.5
_AT_ONCE = 24
"""Calls that one process makes at once, those to the diffusion engine not counted: so the callers of a replica that has
room for more (`graph`, `Bundle`) leave some for checks. More calls wait here, and users take turns."""
_CHECK_S = 10.0
"""Seconds for the check that follows a call without an answer."""
_PEEK_S = 5.0
"""Seconds to look at pictures in progress; they take a step at most, and who waits for a preview has waited long."""
_STREAMS = 32
"""Number of streaming handles that are kept, one a checkpoint: each has a connection of its own to the controller."""


class Gateway:
    """Implements every protocol of `deployments.contracts`."""

    def __init__(self, handles: Mapping[str, Handle], deadlines: Deadlines, metrics: Metrics) -> None:
        """`handles`: by name of `CAPABILITIES`; in the compact topology most lead to one replica."""
        self._handles = handles
        self._deadlines = deadlines
        self._metrics = metrics
        self._streams: OrderedDict[str, Handle] = OrderedDict()
        self._turns = Turns(_AT_ONCE)

    async def embed_images(self, views: NDArray[np.uint8]) -> Vectors:
        return await self._call("embedding", "embed_images", views)  # type: ignore[no-any-return]

    async def tag_images(self, vectors: Vectors, labels: Sequence[str] | None = None) -> list[dict[str, float]]:
        return await self._call("tagging", "tag_images", vectors, labels)  # type: ignore[no-any-return]

    async def search_images(self, query: str, vectors: Vectors) -> Vectors:
        return await self._call("tagging", "search_images", query, vectors)  # type: ignore[no-any-return]

    async def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return await self._call("tagging", "embed_texts", list(texts))  # type: ignore[no-any-return]

    async def find_faces(self, images: Sequence[Image]) -> list[list[Face]]:
        return await self._call("faces", "find_faces", list(images))  # type: ignore[no-any-return]

    async def cluster_faces(
        self,
        vectors: Vectors,
        pictures: NDArray[np.int64],
        quality: Vectors,
        previous: NDArray[np.int64] | None = None,
        must: NDArray[np.int64] | None = None,
        cannot: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        arguments = (vectors, pictures, quality, previous, must, cannot)
        return await self._call("clustering", "cluster_faces", *arguments)  # type: ignore[no-any-return]

    async def find_candidates(self, vectors: StoredVectors, min_cosine: float, max_neighbours: int) -> Pairs:
        arguments = (vectors, min_cosine, max_neighbours)
        return await self._call("dedup", "find_candidates", *arguments)  # type: ignore[no-any-return]

    async def train_index(self, sample: StoredVectors, count: int) -> Packed:
        return await self._call("dedup", "train_index", sample, count)  # type: ignore[no-any-return]

    async def extend_index(self, index: Packed, vectors: StoredVectors, numbers: NDArray[np.int64]) -> Packed:
        return await self._call("dedup", "extend_index", index, vectors, numbers)  # type: ignore[no-any-return]

    async def ask_index(
        self,
        index: Packed,
        vectors: StoredVectors,
        numbers: NDArray[np.int64],
        min_cosine: float,
        neighbours: int,
    ) -> NDArray[np.int64]:
        arguments = (index, vectors, numbers, min_cosine, neighbours)
        return await self._call("dedup", "ask_index", *arguments)  # type: ignore[no-any-return]

    async def compare_vectors(self, vectors: StoredVectors, pairs: NDArray[np.int64]) -> Vectors:
        return await self._call("dedup", "compare_vectors", vectors, pairs)  # type: ignore[no-any-return]

    async def describe_images(self, images: Sequence[Image]) -> list[LocalFeatures]:
        return await self._call("dedup", "describe_images", list(images))  # type: ignore[no-any-return]

    async def compare_images(
        self, features: Sequence[LocalFeatures], left: Sequence[int], right: Sequence[int]
    ) -> list[PairVerdict]:
        arguments = (list(features), list(left), list(right))
        return await self._call("dedup", "compare_images", *arguments)  # type: ignore[no-any-return]

    async def stylize(self, engine: str, request: StyleTask) -> StyledPicture:
        return await self._call("stylizing", "stylize", engine, request)  # type: ignore[no-any-return]

    async def write_prompt(self, image: Image, style: str) -> str:
        return await self._call("prompting", "write_prompt", image, style)  # type: ignore[no-any-return]

    async def segment_portrait(self, engine: str, image: Image) -> Segmentation:
        arguments = (engine, image)
        return await self._call("segmentation", "segment_portrait", *arguments)  # type: ignore[no-any-return]

    async def make_avatar(self, engine: str, request: AvatarTask) -> AvatarPicture:
        return await self._call("avatars", "make_avatar", engine, request)  # type: ignore[no-any-return]

    async def read_texts(self, images: Sequence[Image], options: TextOptions = ANY_TEXT) -> list[list[Text]]:
        return await self._call("texts", "read_texts", list(images), options)  # type: ignore[no-any-return]

    async def generate(self, request: GenerationRequest) -> AsyncIterator[GenerationStep | GeneratedPicture]:
        """Stream a generation, repeated if its replica dies before the first step. Closing the iterator cancels it."""
        deadline = time.monotonic() + self._deadlines.generate_s
        with self._translated("generate", self._deadlines.generate_s):
            for attempt in range(_RETRIES):
                heard = False
                try:
                    async with aclosing(_stream(self._stream_handle(request.checkpoint), request, deadline)) as events:
                        async for event in events:
                            heard = True
                            yield event
                    return
                except RayActorError:
                    if heard or attempt == _RETRIES - 1:
                        raise
                    await self._before_next_call("generate", attempt)

    async def peek(self, tickets: Sequence[str]) -> dict[str, SeenLatents]:
        """Ask all replicas, as nobody here knows which of them makes which picture, until all are found."""
        found: dict[str, SeenLatents] = {}
        if not tickets:
            return found
        asked = ask_all(self._handle("diffusion"), "peek", list(tickets))
        try:
            with self._translated("peek", _PEEK_S):
                async with asyncio.timeout(_PEEK_S), aclosing(asked) as answers:
                    async for answer in answers:
                        found |= answer
                        if len(found) == len(tickets):
                            break
        except DarkroomError as error:
            log.info("not all pictures in progress were found", error=error.slug)
        return found

    async def decode_latents(self, latents: Latents, checkpoint: str = "", vae: str = "") -> Image:
        arguments = (latents, checkpoint, vae)
        return await self._call("diffusion", "decode_latents", *arguments)  # type: ignore[no-any-return]

    async def make_hint(self, module: str, image: Image, options: HintOptions) -> Image:
        return await self._call("diffusion", "make_hint", module, image, options)  # type: ignore[no-any-return]

    async def upscale(self, image: Image, upscaler: str, size: tuple[int, int]) -> Image:
        arguments, deadline_s = (image, upscaler, size), self._deadlines.upscale_s
        return await self._call("diffusion", "upscale", *arguments, deadline_s=deadline_s)  # type: ignore[no-any-return]

    async def restore_faces(self, faces: Sequence[Image], restorer: str, weight: float = 0.5) -> list[Image]:
        arguments, deadline_s = (list(faces), restorer, weight), self._deadlines.upscale_s
        return await self._call("diffusion", "restore_faces", *arguments, deadline_s=deadline_s)  # type: ignore[no-any-return]

    async def list_models(self) -> ModelCatalogue:
        return await self._call("diffusion", "list_models")  # type: ignore[no-any-return]

    async def check(self, capability: str) -> None:
        """Check the health of a capability on one of its replicas; raises what is wrong."""
        await self._call(capability, "check", capability)

    def _handle(self, capability: str) -> Handle:
        """Raises `NotDeployed` where the graph was built without it."""
        if capability in self._handles:
            return self._handles[capability]
        raise NotDeployed(
            f"This server runs no {capability} engine. Install the extra `{capability}` (`make dev`), start with "
            f"`make run ARGS=--{capability}` or say `{capability}: true` in the Serve configuration."
        )

    def _stream_handle(self, checkpoint: str) -> Handle:
        """Streaming handle that prefers the replica which has the checkpoint loaded."""
        if checkpoint not in self._streams:
            self._streams[checkpoint] = self._handle("diffusion").options(stream=True, multiplexed_model_id=checkpoint)
            if len(self._streams) > _STREAMS:
                self._streams.popitem(last=False)
        self._streams.move_to_end(checkpoint)
        return self._streams[checkpoint]

    async def _call(self, capability: str, verb: str, *arguments: Any, deadline_s: float | None = None) -> Any:
        handle = self._handle(capability)
        if deadline_s is None:
            deadline_s = float(getattr(self._deadlines, CAPABILITIES[capability].deadline))
        with self._translated(verb, deadline_s):
            has_turn = False
            try:
                async with asyncio.timeout(deadline_s), self._lane(capability, verb):
                    has_turn = True
                    return await self._call_until_answered(handle, verb, arguments)
            except TimeoutError:
                if not has_turn:
                    raise Overloaded(f"{verb}: other calls took all the time.") from None
                await self._check_answers(capability, verb)
                raise

    async def _check_answers(self, capability: str, verb: str) -> None:
        """Tell a call that took too long from one that nobody answered: raises `Unavailable` where no replica answers a
        check either."""
        if verb == "check":
            return
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._call_until_answered(self._handle(capability), "check", (capability,))
        except (TimeoutError, RayError, RayServeException):
            raise Unavailable(f"{verb}: no replica answers just now.") from None

    def _lane(self, capability: str, verb: str) -> AbstractAsyncContextManager[Any]:
        """A turn among this process's calls. Checks need none, nor does the diffusion engine, with its own queue."""
        return nullcontext() if verb == "check" or capability == "diffusion" else self._turns.taken()

    @contextmanager
    def _translated(self, verb: str, deadline_s: float) -> Iterator[None]:
        """Translate Ray's errors into ours, and count and time the call."""
        started, outcome = time.monotonic(), "error"
        try:
            with tracing.span(f"call {verb}", "client"):
                yield
            outcome = "ok"
        except DarkroomError:
            raise
        except TimeoutError:
            outcome = "deadline"
            raise DeadlineExceeded(f"{verb} took longer than {deadline_s:g} s.") from None
        except BackPressureError:
            outcome = "overloaded"
            raise Overloaded(f"{verb}: the queue is full.") from None
        except (DeploymentUnavailableError, RayActorError) as error:
            log.warning("capability unavailable", verb=verb, error=type(error).__name__)
            raise Unavailable(f"{verb}: no replica answers just now.") from None
        except RayTaskError as error:
            log.error("capability failed", verb=verb, exc_info=error)
            raise CapabilityFailed(f"{verb} failed.") from error
        except (RayError, RayServeException) as error:
            log.error("capability failed", verb=verb, exc_info=error)
            raise Unavailable(f"{verb} failed.") from None
        finally:
            self._metrics.calls.labels(verb, outcome).inc()
            self._metrics.call_seconds.labels(verb).observe(time.monotonic() - started)

    async def _call_until_answered(self, handle: Handle, verb: str, arguments: tuple[Any, ...]) -> Any:
        """Call, and call again when the replica died with the call; Serve starts another one in the meantime."""
        for attempt in range(_RETRIES):
            response: Any = getattr(handle, verb).remote(*arguments, user=acting_user(), context=carried())
            try:
                return opened(await response)
            except asyncio.CancelledError:
                response.cancel()  # Serve does not do it: calls that nobody waits for would fill the replica's queue
                raise
            except RayActorError:
                if attempt == _RETRIES - 1:
                    raise
                await self._before_next_call(verb, attempt)
        raise AssertionError("unreachable")

    async def _before_next_call(self, verb: str, attempt: int) -> None:
        log.warning("replica lost, calling again", verb=verb, attempt=attempt + 1)
        self._metrics.repeated_calls.labels(verb).inc()
        await asyncio.sleep(_BACKOFF_S * 2**attempt)


async def _stream(
    handle: Handle, request: GenerationRequest, deadline: float
) -> AsyncGenerator[GenerationStep | GeneratedPicture, None]:
    """Yield the replica's events until `deadline` on the monotonic clock; closing the generator cancels the call."""
    response: Any = handle.generate.remote(request, context=carried())
    try:
        while True:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                try:
                    event = await anext(response)
                except StopAsyncIteration:
                    return
            yield opened(event)
    finally:
        response.cancel()  # a call that has ended does not mind
