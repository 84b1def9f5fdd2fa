"""Settings of jobs, of their deadlines and of the machine's share that an engine takes."""

from __future__ import annotations

from pydantic import Field

from configs.settings.base import Options


class Jobs(Options):
    """The durable queue."""

    lease_s: float = Field(30.0, gt=0)
    """Seconds after which a worker that has not renewed its lease loses the job."""
    max_attempts: int = Field(3, gt=0)
    """Failures of a job with which it has failed for good. That what it needs is away or full is none: the job waits,
    with growing pauses."""
    give_up_after_s: float = Field(6 * 3600.0, gt=0)
    """Seconds of such waiting after which it fails nevertheless."""
    concurrency: int = Field(4, gt=0)
    """Jobs that one worker runs in parallel, those that make images not counted. With keys on, one user has at most all
    but one of them, so that a short job of another need not wait until a long one ends; `generations` likewise."""
    generations: int = Field(4, gt=0)
    """Jobs that make images which one worker runs in parallel. They take long, and albums must not wait for them; as
    many as this share the batches of the diffusion engine."""
    max_queued: int = Field(200, gt=0)
    """Waiting jobs of one user above which a new one is answered 429; those that make images are counted by themselves,
    and analyses that the server starts after a call by itself are not counted."""
    max_queued_total: int = Field(2000, gt=0)
    """Waiting jobs of all users, counted in the same way, above which anybody's new one is answered 429."""
    head_start_s: float = Field(120.0, ge=0)
    """Seconds of waiting that a job for which somebody waits is put ahead of the same user's others, so that these come
    in the end however many such jobs follow. Between users it is turns that count."""
    sync_wait_s: float = Field(60.0, gt=0)
    """Seconds that a call waits for its job before it answers 202."""
    keep_alive_s: float = Field(15.0, gt=0)
    """Seconds between two keep-alive lines of an event stream without news, for the proxies on the way."""
    poll_s: float = Field(1.0, gt=0)
    """Seconds between two looks at the queue, or at a job that somebody waits for, while no notifications arrive."""
    live_poll_s: float = Field(30.0, gt=0)
    """The same while they do, which is tried as often: the net below what a lost one would cost."""
    keep_finished_s: float = Field(7 * 86400.0, gt=0)
    """Seconds for which ended jobs and answers to repeated requests are kept."""
    housekeeping_s: float = Field(60.0, gt=0)
    """Seconds between two rounds of removing what has expired."""
    chunk: int = Field(8, gt=0)
    """Images in one model call."""


class Runtime(Options):
    """Threads of one process."""

    threads: int = Field(2, gt=0)
    """Model calls that one replica runs in parallel, each on one core."""
    decode_threads: int = Field(2, gt=0)


class Deadlines(Options):
    """Deadlines of single calls to a capability, seconds."""

    embed_s: float = Field(60.0, gt=0)
    faces_s: float = Field(120.0, gt=0)
    tags_s: float = Field(30.0, gt=0)
    duplicates_s: float = Field(300.0, gt=0)
    clusters_s: float = Field(600.0, gt=0)
    texts_s: float = Field(180.0, gt=0)
    """A page of a hundred lines takes some ten seconds on a core, and a chunk of them waits for its turn."""
    prompt_s: float = Field(20.0, gt=0)
    hint_s: float = Field(60.0, gt=0)
    upscale_s: float = Field(300.0, gt=0)
    """Deadline of one image through an upscaler: minutes on a CPU, a second on a GPU."""
    style_s: float = Field(180.0, gt=0)
    """Deadline of all engines of one style together."""
    segment_s: float = Field(60.0, gt=0)
    """Deadline of all engines of one segmentation together."""
    avatar_s: float = Field(180.0, gt=0)
    """Deadline of all engines of one avatar together, its segmentation not counted."""
    generate_s: float = Field(600.0, gt=0)
