"""Graph of the Serve application: every `bind()` of the project is in this file.

`serve run serve_app.graph:build topology=split`, `serve run configs/local.yaml` and `python -m serve_app` call `build`.
The builder has no side effects: Serve may run it several times, in a process of its own.
"""

# No `from __future__ import annotations` here: Serve looks at the annotation of `build`, and does not resolve text.
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ray import serve

from deployments.bundle import Bundle
from deployments.capabilities import BUNDLED, CAPABILITIES
from serve_app.ingress import Ingress
from serve_app.remote_calls import remotely_callable
from serve_app.replica import watch_calls
from serve_app.worker import Worker


class Args(BaseModel):
    """Structure of the graph; numbers live in `configs.settings`, replicas and resources in the Serve YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topology: Literal["compact", "split"] = "compact"
    """Topology. compact: all CPU capabilities in one replica. split: a deployment each, scaled on its own."""
    diffusion: bool = False
    """Deploy the diffusion engine, which needs the extra `diffusion` and models (docs/diffusion.md)."""
    diffusion_gpus: float = Field(0.0, ge=0, le=1)
    """Share of a GPU that the diffusion replica gets: 1, 1/2, 1/3 or 1/4. Without one it sees none."""
    proxy_port: int | None = None
    """Port of Serve's proxy, where a file fixes it; the ingress opens `http_port` of the settings in front of it."""


def build(args: Args) -> serve.Application:
    """Compose the graph: ingress and worker on top, a capability behind each handle."""
    deployment = partial(make_deployment, drain_s=_DRAIN_S[args.topology])

    def capability(cls: type[Any], **options: Any) -> serve.Deployment:
        return deployment(remotely_callable(cls, watch_calls), **options)

    if args.topology == "compact":
        bundle = capability(Bundle, cpus=0.5, max_ongoing=64).bind()  # ingress, worker (`gateway`), room for checks
        capabilities = dict.fromkeys(BUNDLED, bundle)
    else:
        split = (CAPABILITIES[name] for name in BUNDLED)
        capabilities = {one.name: capability(one.load(), name=one.deployment).bind() for one in split}
    if args.diffusion:
        diffusion = CAPABILITIES["diffusion"]
        capabilities["diffusion"] = make_deployment(
            remotely_callable(diffusion.load(), watch_calls),
            name=diffusion.deployment,
            drain_s=_DIFFUSION_DRAIN_S[args.topology],
            gpus=args.diffusion_gpus,
            max_ongoing=32,  # sixteen pictures of a worker's jobs (`Diffusion.at_once` of each), the rest for lists
        ).bind()
    worker = deployment(Worker, cpus=0.1, max_ongoing=8).bind(**capabilities)
    # Ours answer first: 128 and 128 in flight, 256 event streams (`configs.settings.Limits`), the rest for who watches.
    # Below the 1,000 calls that Ray lets an actor have at once, health checks among them: they need not queue for one.
    return deployment(Ingress, cpus=0.1, max_ongoing=896).bind(
        worker=worker, proxy_port=args.proxy_port, **capabilities
    )


_DRAIN_S = {"compact": (0.2, 3.0), "split": (2.0, 30.0)}
"""Seconds between a stopping replica's checks whether its calls have ended, and seconds that it may take in all. Ctrl-C
waits for it; in a cluster, other replicas answer in that time. Neither loses a job."""
_DIFFUSION_DRAIN_S = {"compact": (0.2, 3.0), "split": (2.0, 120.0)}
"""The same for the diffusion engine: an unfinished image is lost with its replica, and takes half a minute."""
_HEALTH_CHECK_S = 60.0
"""Seconds for a health check, which now and then is a real inference, beside the calls of a busy replica
(`deployments.kit.checks`)."""


def make_deployment(
    cls: type[Any],
    *,
    drain_s: tuple[float, float],
    name: str | None = None,
    cpus: float = 0.15,
    gpus: float = 0.0,
    max_ongoing: int = 16,
) -> serve.Deployment:
    """Make a deployment of a class, with the bounds and checks that all of Darkroom's have."""
    # A replica takes one whole CPU unless told otherwise, and waits for ever where there is none left: all of the split
    # topology fit on two CPUs, whichever node each falls on.
    return serve.deployment(  # type: ignore[return-value]
        cls,
        name=name or cls.__name__,
        max_ongoing_requests=max_ongoing,
        max_queued_requests=8 * max_ongoing,
        backpressure_config={"status_code": 429, "retry_after_s": 5},
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        health_check_period_s=10,
        health_check_timeout_s=_HEALTH_CHECK_S,
        graceful_shutdown_wait_loop_s=drain_s[0],
        graceful_shutdown_timeout_s=drain_s[1],
    )
