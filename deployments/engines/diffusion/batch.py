"""Execution of one batch: which rows run together, who joins them, and what becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from deployments.contracts.diffusion import GeneratedPicture, GenerationRequest, GenerationStep
from deployments.engines.diffusion.batch_models import BatchModels
from deployments.engines.diffusion.courses import Course, Steps, go_on
from deployments.engines.diffusion.denoiser import Denoiser, StepCallback
from deployments.engines.diffusion.device import Device, out_of_memory
from deployments.engines.diffusion.finishing import enlarge, finish
from deployments.engines.diffusion.model_cache import Lease
from deployments.engines.diffusion.pass_maker import PassMaker
from deployments.engines.diffusion.registry import ModelRegistry
from deployments.engines.diffusion.rows import Row, encode_row, of_equal_length
from deployments.engines.diffusion.running import RunningPictures
from deployments.errors import DarkroomError, JobCancelled
from deployments.kit.batching import BatchListener


class Batch:
    """Batch of requests of one key, made and run once, in one thread."""

    def __init__(
        self,
        models: ModelRegistry,
        device: Device,
        lease: Lease,
        requests: list[GenerationRequest],
        watch: BatchListener[GenerationRequest, GenerationStep],
        running: RunningPictures,
    ) -> None:
        """Load what the requests need; those that join are appended to them. `running`: told what each row has.

        Raises `WeightsMissing`, `NotSupported`, `OutOfMemory`.
        """
        self._device = device
        self._requests = requests
        self._watch = watch
        self._running = running
        self._outcomes: dict[int, GeneratedPicture | DarkroomError] = {}
        self._has_begun = False
        self._models = BatchModels(models, device, lease, requests[0])
        self._passes = PassMaker(self._models)

    def run(self) -> list[GeneratedPicture | DarkroomError]:
        """Run the batch; -> outcomes in the order of the requests, `JobCancelled` for cancelled ones.

        Requests of other lengths follow in passes of their own. Each has its outcome once its own pass is done, and an
        error of one pass is none of the others'.
        """
        waiting = [*self._encode_all(0), *self._take_in(wait=False)]
        with self._models.tiling():
            while waiting:
                rows, waiting = of_equal_length(waiting)
                self._make(rows, waiting)
        return [self._outcomes.get(place) or JobCancelled("Cancelled.") for place in range(len(self._requests))]

    def _make(self, rows: list[Row], others: list[Row]) -> None:
        """Make the images of rows, to which those that join are appended, to `others` those of other lengths.

        Requests that come later run beside them, from their own first step on, while none of `others` waits.
        """
        courses: list[Course] = []
        self._begin(courses, rows, others)
        while courses:
            if refusal := self._try(partial(go_on, courses)):
                self._refuse([row for course in courses for row in course.rows], refusal)
                courses.clear()  # with the tensors of their frames
                self._models.registry.give_back()
            for course in [one for one in courses if one.question is None]:
                courses.remove(course)
                self._conclude(course)
            if courses and not others:
                self._let_follow(courses)

    def _begin(self, courses: list[Course], rows: list[Row], others: list[Row] | None) -> None:
        """Begin a course of rows; in `others` wait those of other lengths that come while it makes ready, None: nobody
        may join it any more."""
        if self._is_over(rows):
            return

        def begin() -> None:
            ready = self._first_pass(rows) if others is None else self._make_ready(rows, others)
            course = Course(rows, self._steps(rows, *ready))
            course.begin()
            courses.append(course)

        if refusal := self._try(begin):
            self._refuse(rows, refusal)
            self._models.registry.give_back()

    def _let_follow(self, courses: list[Course]) -> None:
        """Begin courses of requests that have come while others run."""
        first = len(self._requests)
        self._requests.extend(self._watch.follow())
        rows = self._encode_all(first)
        while rows:
            own, rows = of_equal_length(rows)
            self._begin(courses, own, None)

    def _conclude(self, course: Course) -> None:
        """Finish the images of a course that is at its end."""
        made: dict[int, GeneratedPicture] = {}

        def conclude() -> None:
            made.update(finish(self._models, course.rows, course.latents, self._watch.is_cancelled))

        is_wanted = course.latents is not None and not self._is_over(course.rows)
        refusal = self._try(conclude) if is_wanted else None
        self._forget(course.rows)
        if refusal:
            self._refuse(course.rows, refusal)
            course.latents = None
            self._models.registry.give_back()
        for place, picture in made.items():
            self._end(place, picture)

    def _try(self, work: Callable[[], None]) -> DarkroomError | None:
        """Do something; -> the error that it ended with, without the frames that hold tensors."""
        import torch

        try:
            work()
        except torch.OutOfMemoryError:
            return out_of_memory()
        except DarkroomError as error:
            return error.with_traceback(None)
        return None

    def _refuse(self, rows: Sequence[Row], refusal: DarkroomError) -> None:
        self._forget(rows)
        for row in rows:
            self._end(row.place, refusal)

    def _forget(self, rows: Sequence[Row]) -> None:
        self._running.forget(row.ticket for row in rows)

    def _end(self, place: int, outcome: GeneratedPicture | DarkroomError) -> None:
        self._outcomes[place] = outcome
        self._watch.finish(place, outcome)

    def _take_in(self, *, wait: bool) -> list[Row]:
        """Take in requests that have come; -> their rows."""
        rows = []
        while joining := self._watch.join(wait=wait):
            first = len(self._requests)
            self._requests.extend(joining)
            rows += self._encode_all(first)
        return rows

    def _encode_all(self, first: int) -> list[Row]:
        """Encode the requests from place `first` on; an error, as of too long a prompt, ends its own one only."""
        rows: list[Row] = []

        def encode(place: int) -> None:
            rows.append(encode_row(self._models, self._requests[place], place))

        for place in range(first, len(self._requests)):
            if refusal := self._try(partial(encode, place)):
                self._end(place, refusal)
        return rows

    def _make_ready(self, rows: list[Row], others: list[Row]) -> tuple[Denoiser | None, Any]:
        """Make the first pass ready, anew with requests that have come in this time. -> it, and what it begins with.

        Only a batch's first pass waits for others.
        """
        while True:
            ready = self._first_pass(rows)
            fitting: list[Row] = []
            if not self._has_begun:
                fitting, apart = of_equal_length([rows[0], *self._take_in(wait=True)])
                others += apart
            if len(fitting) < 2:  # none but the first one
                self._has_begun = True
                return ready
            rows += fitting[1:]

    def _first_pass(self, rows: Sequence[Row]) -> tuple[Denoiser | None, Any]:
        first = self._passes.first(rows)
        return first, self._passes.begin(rows, first)

    def _steps(self, rows: Sequence[Row], first: Denoiser | None, latents: Any) -> Steps:
        """Run the passes of rows; -> their latents, None when all were cancelled."""
        second = self._passes.second(rows)
        total = sum(denoiser.calls for denoiser in (first, second) if denoiser)
        if first:
            latents = yield from first.steps(self._listener(rows, 0, total), latents)
        if self._is_over(rows):
            return None
        if hires := rows[0].request.hires:
            latents = enlarge(self._models, latents, hires)
        if second:
            latents = yield from second.steps(self._listener(rows, total - second.calls, total), latents)
        return latents

    def _listener(self, rows: Sequence[Row], done_before: int, total: int) -> StepCallback:
        before: Any = None

        def listen(done: int, latents: Any) -> bool:
            nonlocal before
            made, earlier = self._device.mark(), before
            if earlier is not None:  # the host may ask for one step ahead: with all of them, nobody could be heard
                earlier.synchronize()
            before = made
            steps = [GenerationStep(done_before + done, total, row.ticket) for row in rows]
            self._note(rows, steps, latents, made)
            for row, step in zip(rows, steps, strict=True):
                self._watch.report(row.place, step)
            return not self._is_over(rows)

        return listen

    def _note(self, rows: Sequence[Row], steps: Sequence[GenerationStep], latents: Any, made: Any | None) -> None:
        """Keep the latents of the rows whose pictures somebody still wants."""
        gone = [self._watch.is_cancelled(row.place) for row in rows]
        self._running.forget(row.ticket for row, is_gone in zip(rows, gone, strict=True) if is_gone)
        self._running.note([(place, step) for place, step in enumerate(steps) if not gone[place]], latents, made)

    def _is_over(self, rows: Sequence[Row]) -> bool:
        return all(self._watch.is_cancelled(row.place) for row in rows)
