"""The samplers of `solvers` as schedulers of diffusers: each step answers what the solver asked, and lets it go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from deployments.engines.diffusion.schedulers import Scheduled, answer, draw, noiseless
from deployments.engines.diffusion.solvers import Draw, Solving, dpm_adaptive, dpm_fast, restart


@cache
def solver_scheduler_classes() -> MappingProxyType[str, Any]:
    """Define the scheduler classes, by name; they cannot be defined before diffusers is imported."""
    import diffusers
    import torch

    theirs: Any = diffusers

    class Solver(Scheduled, theirs.EulerDiscreteScheduler):  # type: ignore[misc]
        """Scheduler that a solver drives. `asked`: the noise level of the call that comes next, None at the end."""

        asked: float | None = None
        _solving: Solving | None = None

        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            super().set_timesteps(num_inference_steps, device=device)
            self._device = device
            self._plan([*self.levels(num_inference_steps).tolist(), 0.0], is_whole=True)

        def begin(self, runs: int) -> tuple[Any, Any]:
            first = self.num_inference_steps - runs
            self.set_begin_index(first)
            self._plan([*self.levels(self.num_inference_steps).tolist()[first:], 0.0], is_whole=False)
            return self.timesteps[0], self.timesteps

        def add_noise(self, original_samples: Any, noise: Any, timesteps: Any) -> Any:
            return original_samples + noise * self.asked

        @property
        def init_noise_sigma(self) -> float:
            return float(self._path[0])

        def scale_model_input(self, sample: Any, timestep: Any) -> Any:
            return sample / (1 + (self.asked or 0.0) ** 2) ** 0.5

        def step(
            self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
        ) -> Any:
            latents, sigma = sample.float(), self.asked
            if sigma is None:
                return answer((latents, latents), sample.dtype, return_dict)
            if self._solving is None:
                self._solving = self.solve(latents, partial(draw, latents, generator))
                next(self._solving)
            x0 = noiseless(self, latents, model_output.float(), sigma)
            try:
                latents, self.asked = self._solving.send(x0)
            except StopIteration as end:
                latents, self.asked = end.value, None
            return answer((latents, x0), sample.dtype, return_dict)

        def _plan(self, path: Sequence[float], *, is_whole: bool) -> None:
            """Make ready to go along noise levels that end in 0; `is_whole`: from noise alone."""
            self._path, self._is_whole = path, is_whole
            self._solving = None
            self.asked = next(self.solve(torch.zeros(1), lambda: torch.zeros(1)))[1]
            timesteps = self.trained.timesteps(self.asks())
            self.timesteps = torch.tensor(timesteps, dtype=torch.float32, device=self._device)

        def asks(self) -> list[float]:
            """Noise levels of the calls, which the latents have no influence on."""
            nothing = torch.zeros(1)
            solving, found = self.solve(nothing, lambda: nothing), []
            asked = next(solving)[1]
            while True:
                found.append(asked)
                try:
                    asked = solving.send(nothing)[1]
                except StopIteration:
                    return found

        def solve(self, latents: Any, fresh: Draw) -> Solving:
            raise NotImplementedError

        @property
        def _ends(self) -> tuple[float, float]:
            """Greatest and least noise level: those of the model, with an image those of the schedule."""
            trained = self.trained
            if self._is_whole:
                return trained.greatest, trained.least
            if len(self._path) > 2:
                return self._path[0], self._path[-2]
            return self._path[0], min(trained.least, self._path[0] / 2)  # so that there is a way to go

        @property
        def _eta(self) -> float:
            return 1.0 if self.eta is None else self.eta

    class Restart(Solver):
        def solve(self, latents: Any, fresh: Draw) -> Solving:
            return restart(latents, self._path, fresh)

    class DpmFast(Solver):
        def solve(self, latents: Any, fresh: Draw) -> Solving:
            return dpm_fast(latents, len(self._path) - 1, self._ends, self._eta, fresh)

    class DpmAdaptive(Solver):
        """Solver whose calls depend on the latents; as many as it is given steps are announced."""

        def asks(self) -> list[float]:
            return list(self._path[:-1])

        def solve(self, latents: Any, fresh: Draw) -> Solving:
            return dpm_adaptive(latents, self._ends, self._eta, fresh)

        def pending(self, timesteps: Any) -> Iterator[Any]:
            while self.asked is not None:
                now = self.trained.timesteps(self.asked)
                yield torch.tensor(float(now), dtype=torch.float32, device=timesteps.device)

    classes: tuple[Any, ...] = (Restart, DpmFast, DpmAdaptive)
    return MappingProxyType({made.__name__: made for made in classes})
