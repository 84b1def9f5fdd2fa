"""Settings: every number and address that an operator may change, in one tree.

Values come from (first wins) constructor arguments, environment variables `DARKROOM_<NAME>` with `__` between levels
(`DARKROOM_LIMITS__MAX_PIXELS=...`), and the defaults here. Each process reads its own; nothing secret travels in a
Serve configuration, which the dashboard shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from configs.immich import CLIP_MODELS, clean_name, names_weights

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


_AT_ONCE = 4


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "darkroom"


class Limits(_Options):
    """Limits of a request."""

    max_file_bytes: int = Field(20 * 2**20, gt=0)
    max_pixels: int = Field(64_000_000, gt=0)
    max_decoding_bytes: int = Field(512 * 2**20, gt=0)
    """Memory that decoding one image may take, by its size and the measured bytes a pixel of its type (docs/images.md):
    a few kilobytes of a WebP, an AVIF or a PNG unpack to gigabytes. JPEGs are decoded small and take the least."""
    max_images: int = Field(500, gt=0)
    """Image references or files in one request."""
    max_whole_album: int = Field(1000, ge=0)
    """Images up to which an album and its results are answered whole; those of a larger one are answered in pages. A
    thousand images are a quarter of a megabyte and a few hundredths of a second of an event loop that all share."""
    max_body_bytes: int = Field(1024 * 2**20, gt=0)
    """Bytes of one multipart request."""
    max_upload_held_bytes: int = Field(2048 * 2**20, gt=0)
    """Bytes of all multipart requests that one ingress replica has under way, as their Content-Length says them; one
    that says none counts as the most it may have. Above it a request gets 429. Neither Serve's proxy nor its replica
    makes a client wait, so what is not read yet is in memory."""
    max_upload_held_bytes_per_user: int = Field(1024 * 2**20, gt=0)
    """The share of one user in them, with keys on."""
    max_json_bytes: int = Field(4 * 2**20, gt=0)
    max_sdapi_bytes: int = Field(64 * 2**20, gt=0)
    """Bytes of one request to the Stable Diffusion web API, whose images come as text."""
    max_sdapi_held_bytes: int = Field(512 * 2**20, gt=0)
    """Bytes of all requests to the Stable Diffusion web API that one ingress replica has under way; above it a request
    gets 429."""
    max_sdapi_held_bytes_per_user: int = Field(128 * 2**20, gt=0)
    """The share of one user in them, with keys on."""
    max_generated: int = Field(16, gt=0)
    """Images that one request to the Stable Diffusion web API may make: batch size times batches."""
    max_plotted: int = Field(64, gt=0)
    """Images that one X/Y/Z plot may make: cells times batch size times batches."""
    max_in_flight: int = Field(128, gt=0)
    """Requests that one ingress replica answers at once; one more gets 429. Those of the Stable Diffusion web API wait
    for minutes and are counted by themselves."""
    max_in_flight_per_user: int = Field(32, gt=0)
    """The share of one user in them, with keys on; requests about jobs, which are always answered, have the same."""
    max_streams: int = Field(256, gt=0)
    """Event streams that one ingress replica keeps open; one more gets 429."""
    max_streams_per_user: int = Field(32, gt=0)
    """The share of one user in them, with keys on."""
    preview_px: int = Field(1280, ge=64)
    """Longest side in pixels at which images are analysed; larger ones get a stored JPEG preview of this size."""


class Fetch(_Options):
    """Fetching of URLs that clients name."""

    timeout_s: float = Field(20.0, gt=0)
    connect_timeout_s: float = Field(5.0, gt=0)
    max_redirects: int = Field(3, ge=0)
    concurrency: int = Field(8, gt=0)
    allowed_hosts: tuple[str, ...] = ()
    """Host names that may resolve to private addresses (tests, private buckets)."""
    allowed_networks: tuple[str, ...] = ()
    """Private networks that may be fetched from, in CIDR notation."""
    allowed_buckets: tuple[str, ...] = ()
    """Buckets and folders that `s3://` and `gs://` references may name, read with this server's own credentials on
    behalf of any client: `s3://bucket`, or `gs://bucket/folder` for what lies below. Never the server's own storage."""


class StorageOptions(_Options):
    """Object stores, where `storage_url` is `s3://bucket/folder` or `gs://bucket/folder`.

    Credentials are found by the vendors' libraries in their own places (variables, files, roles), never here.
    """

    s3_endpoint_url: str | None = None
    """URL of another server that speaks S3 (MinIO, Ceph, R2); default: Amazon's."""
    s3_region: str | None = None
    """S3 region; default: boto3's own choice (`AWS_REGION`, the shared configuration)."""
    gcs_endpoint_url: str | None = None
    """URL of Cloud Storage; default: `STORAGE_EMULATOR_HOST` if set, else Google's. No credentials go to an emulator,
    which has http://."""
    urls: Literal["server", "presigned", "public"] = "server"
    """Answers of `/files`: the bytes; or a redirect to the object, by a signed URL that soon expires, or
    below `public_base_url`. The URLs in answers are this server's own in any case."""
    url_ttl_s: int = Field(600, ge=10, le=7 * 86400)
    """Lifetime of a signed URL in seconds. One that a role's temporary credentials signed ends with these; they are
    renewed ten minutes before."""
    presign_endpoint_url: str | None = None
    """URL at which clients reach the store, if not the one that this server uses: signed URLs name it."""
    public_base_url: str | None = None
    """URL at which anybody may read what lies at `storage_url`: a public bucket or a CDN before it. All who know the
    URL of an image see it, without this server being asked."""
    connect_timeout_s: float = Field(5.0, gt=0)
    read_timeout_s: float = Field(20.0, gt=0)
    """Seconds between two packets."""
    attempts: int = Field(3, gt=0)
    """Attempts at a call that fails in passing: no connection, cut off, 429, 5xx."""
    deadline_s: float = Field(60.0, gt=0)
    """Seconds for one call with all its attempts, waiting for its turn included."""
    concurrency: int = Field(16, gt=0)
    """Calls that one process makes at once."""

    @field_validator("s3_endpoint_url", "gcs_endpoint_url", "presign_endpoint_url", "public_base_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return None if url is None else url.rstrip("/")

    @model_validator(mode="after")
    def _has_public_base(self) -> StorageOptions:
        if self.urls == "public" and self.public_base_url is None:
            raise ValueError("urls=public needs public_base_url")
        return self


class DatabaseOptions(_Options):
    """Connections to PostgreSQL, and who migrates its schema."""

    migrate_at_start: bool = True
    """Whether each process migrates when it starts. Where processes of two versions run side by side, `darkroom
    migrate` is a step of its own, and processes only check that they run on the schema."""
    pool_size: int = Field(5, gt=0)
    """Connections that a process of ingress or worker keeps open."""
    max_overflow: int = Field(5, ge=0)
    """Connections that it opens beyond these while all are in use. One more listens to notices of jobs. A worker's jobs
    hold none while a model works, so that twice as many jobs do with ten."""
    pool_timeout_s: float = Field(10.0, gt=0)
    """Seconds that a transaction waits for a connection; later is 503."""
    pgbouncer: bool = False
    """Whether PgBouncer in transaction mode stands before the database: then no statement is prepared for longer than a
    transaction, and its `default_pool_size` bounds what reaches PostgreSQL."""
    listen_url: str | None = None
    """SQLAlchemy URL past PgBouncer for the one connection of a process that listens, since PgBouncer passes no notices
    on; default: `database_url`. Without notices everything is found by looking every `jobs.poll_s`."""

    @property
    def connections(self) -> int:
        """Connections that one process opens at most."""
        return self.pool_size + self.max_overflow + 1


class Jobs(_Options):
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


class Runtime(_Options):
    """Threads of one process."""

    threads: int = Field(2, gt=0)
    """Model calls that one replica runs in parallel, each on one core."""
    decode_threads: int = Field(2, gt=0)


class Deadlines(_Options):
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


class Embedding(_Options):
    """The embedding model."""

    engine: Literal["efficientnet", "open_clip"] = "efficientnet"
    open_clip_model: str = "ViT-B-16-SigLIP"
    open_clip_pretrained: str = "webli"
    """Weights: a tag of open_clip's, or a local checkpoint file. Empty: random weights (tests)."""
    input_px: int = Field(224, gt=0)
    """Side in pixels of the square that the model takes."""
    device: str = "auto"
    """Device of open_clip. auto: the GPU where Ray gave the replica a share of one, else the CPU."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Precision of open_clip. auto: half precision on a GPU, float32 on a CPU."""
    memory_fraction: float = Field(0.25, gt=0, le=1)
    """Share of the GPU's memory that a process of embedding or tagging may take: Ray counts shares, it does not enforce
    them. The same as the `num_gpus` that the Serve file asks for."""
    calls_together: int | None = Field(None, gt=0)
    """Calls whose views go through the model in one pass. Default: 8 on a GPU, which one call does not fill, or more of
    small ones; on a CPU 1, where each core takes a part of one call, and calls of a view or two share a core's pass of
    eight."""


class Tags(_Options):
    """Tagging and search."""

    threshold: float = Field(0.5, ge=0, le=1)
    top_k: int = Field(10, gt=0)
    fallback: float = Field(0.3, ge=0, le=1)
    """Probability from which on the likeliest tag is given to an image that has none over the threshold."""
    label_fallback: float = Field(0.2, ge=0, le=1)
    """The same for a client's own labels, of which there are fewer to be wrong with."""
    temperature: float = Field(0.8, gt=0)
    max_prior: float = Field(0.18, gt=0, lt=1)
    """Upper limit of a tag's prior, its assumed share of all images. Four ImageNet classes in ten are animals; without
    this the network would find one in any image that it makes nothing of."""
    min_cosine: float = Field(0.85, ge=-1, le=1)
    """Cosine above which a client's label that no word list knows counts as another word for a tag."""
    min_relevance: float = Field(0.2, ge=0, le=1)
    """Relevance to a query below which an image is no result."""
    min_face_share: float = Field(0.004, ge=0, le=1)
    """Share of the image from which on a face makes it an image of people."""
    portrait_share: float = Field(0.05, ge=0, le=1)
    """Share of the image from which on one face, with none near it in size, makes it a portrait."""


PERSON_CUTS = {"mobilefacenet": 1.02, "dlib": 0.385, "insightface": 1.1}
"""Face network -> its own cut, see `FaceOptions.cut`."""
GROUP_SHARES = {"mobilefacenet": 0.98}
"""Face network -> share of the cut up to which two groups of faces are one person by their mean directions. Networks
that are not named put people who look alike too near for it."""


class FaceOptions(_Options):
    """Detection, embedding and clustering of faces."""

    engine: Literal["local", "insightface"] = "local"
    network: Literal["mobilefacenet", "dlib"] = "mobilefacenet"
    """Face network of the local engine: `mobilefacenet` tells people who look alike apart better and takes half the
    time (docs/people.md), `dlib` has weights whose origin is stated. Stored faces of the other are embedded anew."""
    insightface_root: Path | None = None
    """Folder that holds `models/buffalo_l`; default: insightface's own."""
    min_score: float = Field(0.8, ge=0, le=1)
    """Score from which on the local engine's verifier accepts a face."""
    smallest_px: int = Field(24, ge=8)
    """Width in pixels of the smallest face that the local engine must not miss, in the image as it is analysed. Smaller
    ones are rarely recognised; halving it takes four times the work on large images."""
    min_quality: float = Field(0.2, ge=0, le=1)
    """Quality below which a face joins no person."""
    cut: float | None = Field(None, gt=0, lt=1.4)
    """Root-mean-square distance of unit vectors up to which two groups of faces are one person. Default: the network's
    own, 1.02 for `mobilefacenet` and .385 for `dlib` (docs/people.md), 1.1 for `insightface` (a cosine of .4, a common
    choice; not measured here, since its weights could not be had)."""

    @property
    def person_cut(self) -> float:
        """`cut`, or the network's own."""
        return self.cut or PERSON_CUTS[self.recogniser]

    @property
    def group_cut(self) -> float | None:
        """Distance of mean directions up to which two groups are one person; None: they are not compared."""
        share = GROUP_SHARES.get(self.recogniser)
        return None if share is None else share * self.person_cut

    @property
    def recogniser(self) -> str:
        """Name of the face network, whichever setting names it."""
        return self.network if self.engine == "local" else self.engine


class Duplicates(_Options):
    """Search for duplicates."""

    min_cosine: float = Field(0.55, ge=-1, le=1)
    max_neighbours: int = Field(10, gt=0)
    min_similar_cosine: float = Field(0.85, ge=-1, le=1)
    """Cosine from which on two images are `similar`: shots of one moment."""
    burst_gap_s: float = Field(10.0, ge=0)
    """Seconds between two shots of one burst at most. Cameras take several a second; people who try again take some
    seconds."""
    index_from: int = Field(1000, ge=2)
    """Images of an album from which on its vectors are not loaded for each search: an index of them is kept in the
    storage, and what is new is asked against it. Below, a search takes a second or two and less memory than that."""
    max_index_bytes: int = Field(512 * 2**20, gt=0)
    """Bytes of the largest index that is kept, some 400 an image; a larger album is searched anew each time."""


class Texts(_Options):
    """Reading of text in pictures."""

    max_px: int = Field(1280, ge=32)
    """Longest side in pixels at which text is looked for. Finer costs a tenth of a second and more a picture, and finds
    print that is smaller than ten pixels there (docs/texts.md)."""
    read_px: int = Field(2048, ge=64)
    """Longest side in pixels at which pictures are decoded for reading: what was found is read at this size."""
    min_score: float = Field(0.5, ge=0, le=1)
    """Recognition score below which what was read is left out."""
    glance_px: int = Field(480, ge=32)
    """Longest side at which analyses in the background look whether there is any text, before they read it."""
    min_writing: float = Field(0.006, ge=0, le=1)
    """Share of a picture that looks like lines of text from which on analyses in the background look closer; one
    photograph in eight has as much (docs/texts.md). 0: at every picture. 1: at none."""
    recognition_model: Path | None = None
    """File of another recognition model of PP-OCR, in ONNX with its characters in the metadata, as rapidocr publishes
    them: one for Korean, which the one in rapidocr's wheel cannot read. Nothing is fetched."""


class Diffusion(_Options):
    """The diffusion engine, over diffusers; it is deployed where the Serve configuration says `diffusion: true`."""

    models_dir: Path | None = None
    """Folder with `checkpoints`, `loras`, `controlnets`, `vaes`, `embeddings`, `upscalers`, `restorers` and
    `annotators`, or A1111's `models`; default: `weights_dir/diffusion`."""
    checkpoint: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Checkpoint for requests that name none: a hub name, or a file or folder of `checkpoints/`."""
    offline: bool = False
    """Never ask a model hub, not even for a model that is named by its hub name."""
    device: str = "cpu"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Precision. auto: half precision on a GPU, float32 on a CPU."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Share of the GPU's memory that the process may take; default: the share of the GPU that Ray gave the replica.
    Ray counts shares, it does not enforce them."""
    memory_budget_mb: int | None = Field(None, gt=0)
    """MiB of checkpoints, LoRAs, ControlNets and preprocessors that one replica keeps loaded; the least recently used
    leave first. Default: 60 % of the process's share of a GPU's memory, 8192 on a CPU."""
    ram_stage_mb: int = Field(8192, ge=0)
    """MiB of checkpoints that left a GPU and stay in the machine's memory, to be copied back instead of
    loaded; 0: none. Without meaning on a CPU."""
    max_batch: int | None = Field(None, gt=0)
    """Images of one shape that share a denoising step; default: as many as the memory beside `memory_budget_mb` is
    reckoned to hold, at most 16, and 4 on a CPU."""
    batch_wait_s: float = Field(0.01, ge=0)
    """Seconds after its arrival until which a request that finds the engine idle lets others of its shape join it. It
    makes ready in this time, which the images of one job need to come in one after the other."""
    max_side_px: int = Field(2048, ge=64)
    max_steps: int = Field(150, gt=0)
    max_controls: int = Field(10, gt=0)
    cuda_graphs: bool = False
    """Whether each call of UNet and ControlNets is recorded once and replayed as one launch, on a GPU; it takes memory
    for each shape of request."""
    compile: bool = False
    """Whether to torch.compile the UNet: minutes at the start, a third less time for each image after."""

    @property
    def at_once(self) -> int:
        """Images of one job that are asked for at a time: 4, on which the Serve files' `max_ongoing_requests` is
        reckoned, for more would hold up lists, hints and previews of all; fewer where a batch holds fewer."""
        return min(self.max_batch or _AT_ONCE, _AT_ONCE)


class Styles(_Options):
    """Styles and the engines that make them."""

    engines: tuple[Literal["opencv", "diffusers", "sdwebui", "gemini", "vertex", "bedrock"], ...] = ("opencv",)
    """Engines, tried in this order: a technical failure goes on to the next, a refused image does not."""
    prompter: Literal["template", "gemini"] = "template"
    max_px: int = Field(1024, ge=64)
    """Longest side in pixels of the image that engines get."""
    diffusion_pixels: int = Field(512 * 768, ge=64 * 64)
    """Width times height at which `diffusers` and `sdwebui` work, in the shape of the image."""
    diffusion_pixels_xl: int = Field(1024 * 1024, ge=64 * 64)
    """The same for `diffusers` with a checkpoint of SDXL, which was trained at this size."""
    engine_timeout_s: float = Field(60.0, gt=0)
    """Seconds for one engine, its share of the deadline `deadlines.style_s`."""


class SegmentationOptions(_Options):
    """Segmentation and its engines."""

    engines: tuple[Literal["local", "vision", "rekognition"], ...] = ("local",)
    """Engines, tried in this order: a technical failure goes on to the next, a refused image does not."""
    max_px: int = Field(1600, ge=64)
    """Longest side in pixels of the image that engines get; masks are enlarged to the original's size."""
    engine_timeout_s: float = Field(30.0, gt=0)
    """Seconds for one engine, its share of the deadline `deadlines.segment_s`."""


class Avatars(_Options):
    """Avatars and the engines that make them."""

    engines: tuple[Literal["local", "diffusers", "vertex", "bedrock", "cloud_function"], ...] = ("local",)
    """Engines, tried in this order: a technical failure goes on to the next, a refused image does not."""
    mode: Literal["overlay", "character"] = "character"
    """Mode of requests that name none."""
    animal: str = "fox"
    """Animal of requests to the tutorial's route that name none."""
    max_px: int = Field(2048, ge=64)
    """Longest side in pixels of the image that is made."""
    max_faces: int = Field(20, gt=0)
    """Faces of one image that are changed, the largest first."""
    diffusion_pixels: int = Field(512 * 512, ge=64 * 64)
    """Width times height at which `diffusers` paints a head."""
    diffusion_pixels_xl: int = Field(1024 * 1024, ge=64 * 64)
    """The same with a checkpoint of SDXL."""
    diffusion_steps: int = Field(30, ge=1, le=150)
    checkpoint: str = ""
    """Checkpoint that `diffusers` paints with, best one for inpainting. Empty: `diffusion.checkpoint`."""
    engine_timeout_s: float = Field(60.0, gt=0)
    """Seconds for one engine, its share of the deadline `deadlines.avatar_s`."""


class Auth(_Options):
    """Authentication."""

    mode: Literal["disabled", "api_key"] = "disabled"
    """Mode. disabled: every request acts for one built-in user; keep the server on the loopback interface. api_key:
    each request brings a user's key, `Authorization: Bearer ...`."""
    admin_key: SecretStr | None = Field(None, min_length=16)
    """Key that creates and lists users; needed with `api_key`."""
    wrong_keys: int = Field(10, gt=0)
    """Wrong keys that one address may send to an ingress replica within `wrong_keys_s` seconds; then no key that people
    may have chosen, as the administrator's, is looked at from there, and the answer is 429. Keys that the server made
    cannot be guessed and are not counted."""
    wrong_keys_s: float = Field(60.0, gt=0)
    session_s: float = Field(12 * 3600.0, gt=0, le=30 * 86400.0)
    """Seconds after which a web page has to send the key again."""
    allow_open: bool = False
    """Whether to start without keys on an address that other machines reach: behind a proxy that decides who may call,
    or in a container whose port is published to this machine only."""
    allow_open_ray: bool = False
    """Whether to start on a Ray whose ports ask for no token (`RAY_AUTH_MODE`), so that anybody who reaches one may run
    commands as the server's user. For clusters that a firewall closes."""

    @field_validator("admin_key", mode="before")
    @classmethod
    def _trimmed(cls, key: object) -> object:
        """Strip the line break of secrets that come from files, which no header can hold."""
        return key.strip() if isinstance(key, str) else key

    @model_validator(mode="after")
    def _has_admin(self) -> Auth:
        if self.mode == "api_key" and self.admin_key is None:
            raise ValueError("mode=api_key needs admin_key (DARKROOM_AUTH__ADMIN_KEY), at least 16 characters")
        return self


class Retention(_Options):
    """Removal of temporary images, and of those in the trash."""

    temporary_s: float = Field(86400.0, gt=0)
    """Lifetime in seconds of temporary images: those posted or fetched for one avatar, style or segmentation, and the
    masks and cut-outs of a segmentation. An image that an album holds is not temporary, nor is one that was
    uploaded."""
    trash_s: float = Field(30 * 86400.0, gt=0)
    """Seconds that an image lies in the trash before it is deleted for good."""


class Quotas(_Options):
    """What one user may keep; None: any amount. Requests that come at the same time may each be the last one below."""

    stored_bytes: int | None = Field(None, gt=0)
    """Bytes of the user's images, temporary ones included; equal files count as often as they were sent."""
    images: int | None = Field(None, gt=0)
    """Images, temporary ones included."""
    albums: int | None = Field(None, gt=0)
    """Albums; those of analyses without `album_id`, which go after a day, are not counted."""
    kept_answers: int | None = Field(100_000, gt=0)
    """Answers kept for repeated requests (`Idempotency-Key`), for `jobs.keep_finished_s` seconds each."""


class Events(_Options):
    """Events of what changed for users, from which streams and webhooks go on where they stopped."""

    keep_s: float = Field(86400.0, gt=0)
    """Seconds for which events are kept; whoever comes back later is told to read everything anew."""
    keep_most: int = Field(10_000, gt=0)
    """Events of one user that are kept, the newest."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that webhooks may be sent to although their addresses are private; `allowed_networks` likewise."""
    allowed_networks: tuple[str, ...] = ()

    @property
    def exceptions(self) -> dict[str, tuple[str, ...]]:
        """Exceptions from the address guard, in place of those of fetching."""
        return {"allowed_hosts": self.allowed_hosts, "allowed_networks": self.allowed_networks}


class Immich(_Options):
    """Immich's machine learning: `GET /ping` and `POST /predict`, which its server calls (docs/immich.md)."""

    enabled: bool = False
    """Whether the two are there at all."""
    allow_from: tuple[IPvAnyNetwork, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """Networks of those who may call them. Immich's server cannot send a key, so its address is all that is asked
    for."""
    models: Mapping[str, str] = CLIP_MODELS
    """Immich's name of a CLIP model -> `open_clip:MODEL/WEIGHTS`, the weights that its vectors come from. Of these the
    server answers to the names whose weights are those of `embedding`, and refuses all others."""
    faces_as: tuple[str, ...] = ()
    """Further names that the local face network answers to, beside its own: `["buffalo_l"]`, where Immich is to use it
    and has no faces of another network's, or will find all of them anew. Without meaning for `insightface`."""
    texts_as: tuple[str, ...] = ("PP-OCRv5_mobile", "PP-OCRv5_server", "EN__PP-OCRv5_mobile", "LATIN__PP-OCRv5_mobile")
    """Names of OCR models that the reader of texts answers to, beside its own: it is no such model, but what it reads
    is text, and compared with nothing. Of other scripts than Latin, Han, kana only with `texts.recognition_model`."""

    max_pixels_in_flight: int = Field(256_000_000, gt=0)
    """Pixels of all pictures that are worked on at once in one process, 3 bytes each and some 8 while they are decoded;
    more wait. One that is larger is worked on alone."""
    wait_s: float = Field(30.0, ge=0)
    """Seconds that a picture waits for room among those; then 503."""

    @field_validator("models")
    @classmethod
    def _are_models(cls, models: Mapping[str, str]) -> Mapping[str, str]:
        for name, weights in models.items():
            if not names_weights(weights):
                raise ValueError(f"'{weights}' of '{name}' is no weights like open_clip:ViT-B-32-quickgelu/openai")
        return {clean_name(name): weights for name, weights in models.items()}

    @field_validator("faces_as", "texts_as")
    @classmethod
    def _are_clean(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(clean_name, names))


class Providers(_Options):
    """Addresses, names and keys at vendors.

    `sdwebui_auth`, `gemini_api_key` and `cloud_function_token` are set here; the SDKs of Google Cloud and AWS find
    their credentials in their own places (variables, files, roles).
    """

    sdwebui_url: str | None = None
    """Base URL of a server that speaks `/sdapi/v1`, without that path."""
    sdwebui_auth: SecretStr | None = None
    """Credentials of that server, `user:password`."""
    gemini_api_key: SecretStr | None = None
    gemini_base_url: str | None = None
    gemini_text_model: str = "gemini-2.5-flash"
    gemini_image_model: str = "gemini-2.5-flash-image"
    vertex_project: str | None = None
    vertex_location: str = "us-central1"
    vertex_base_url: str | None = None
    vertex_image_model: str = "gemini-2.5-flash-image"
    """A Gemini image model, or one of Imagen's editing models (`imagen-3.0-capability-001`), which Google means to end
    in 2027."""
    bedrock_region: str | None = None
    bedrock_endpoint_url: str | None = None
    bedrock_image_model: str = "us.stability.stable-image-control-structure-v1:0"
    vertex_edit_model: str = "imagen-3.0-capability-001"
    """Model of avatars: one of Imagen's editing models, which paint under a mask, or a Gemini image model."""
    bedrock_inpaint_model: str = "us.stability.stable-image-inpaint-v1:0"
    vision_endpoint: str | None = None
    """`host:port` of Cloud Vision; default: Google's. Connections to a loopback address are not encrypted."""
    rekognition_region: str | None = None
    rekognition_endpoint_url: str | None = None
    cloud_function_url: str | None = None
    """URL of the deployed `cloud_function/`, or of anything that takes the multipart image and answers
    `{"image_url"}`."""
    cloud_function_token: SecretStr | None = None
    """Token sent as `Authorization: Bearer`, where the function asks for one."""
    allow_paid_calls: bool = True
    """Whether calls that cost money are made; adapters refuse them otherwise. Tests run with it off."""


class FrontDoorOptions(_Options):
    """Bounds of the HTTP port, which HAProxy keeps in front of Serve's proxy (on Linux)."""

    header_bytes: int = Field(65_536, ge=8192, le=2**20)
    """Bytes of a request's header section; more is 400."""
    header_s: float = Field(20.0, gt=0)
    """Seconds for a whole header section; later is 408."""
    idle_s: float = Field(60.0, gt=0)
    """Seconds that a connection may be silent between requests, or in the middle of a body."""
    answer_s: float = Field(660.0, gt=0)
    """Seconds until the next bytes of an answer; later is 504."""
    connections: int = Field(1024, gt=0, le=20_000)
    """Connections in all; more wait to be accepted."""
    address_connections: int = Field(512, gt=0)
    """Connections of one address; more are 429, from twice as many on closed at once."""
    address_requests: int = Field(5000, gt=0)
    """Requests of one address in ten seconds; more are 429."""
    address_refusals: int = Field(2000, gt=0)
    """Requests of one address that were answered with a status of 400 to 499 in ten seconds; with more of them all are
    429: here a refusal costs little, behind the door it takes a core from others."""
    key_requests: int = Field(5000, gt=0)
    """Requests with one key in ten seconds; more are 429."""
    key_refusals: int = Field(300, gt=0)
    """The same for requests with one key."""
    key_in_flight: int = Field(96, gt=0)
    """Requests with one key at the same time; more are 429. Fewer than `limits.max_in_flight`, in which requests count
    until their user is known: one user's that are going to be refused leave room for others'."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks of reverse proxies in front: their X-Forwarded-For is kept, and bounds of an address are not theirs."""
    others: tuple[str, ...] = ()
    """Front doors of other nodes, `host:port`, which get the requests while this node's own proxy of Serve is down."""

    @field_validator("others")
    @classmethod
    def _are_addresses(cls, others: tuple[str, ...]) -> tuple[str, ...]:
        for address in others:
            if not re.fullmatch(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}", address):
                raise ValueError(f"'{address}' is no address like door.example:8000")
        return others


class Settings(BaseSettings):
    """All settings of a process."""

    model_config = SettingsConfigDict(
        env_prefix="DARKROOM_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # logs and the dashboard would show a key that is too short or misnamed
    )

    http_host: str = "127.0.0.1"
    http_port: int = Field(8000, ge=1, le=65535)
    dashboard_port: int = Field(8265, ge=1, le=65535)
    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Port of Ray's page of metrics, on the loopback interface, of `make run`; default: any that is free."""
    public_url: str | None = None
    """Base URL of the URLs in answers; default: the base of the request. Without keys its host is served beside
    `localhost`, `127.0.0.1` and `[::1]`, and no other."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages elsewhere that may call and read answers (CORS), `https://app.example`; default: none.
    Pages of this server's own host need none."""
    data_dir: Path = Field(default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"))
    """Folder of the database, stored images and logs."""
    weights_dir: Path = Field(default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache") / "weights")
    """Folder of the model weights, fetched once by `python -m deployments.weights`."""
    database_url: str | None = None
    """SQLAlchemy URL (`postgresql+asyncpg://...`); default: an embedded PostgreSQL in `data_dir`."""
    storage_url: str | None = None
    """Storage of files: `file:///folder`, `s3://bucket/folder` or `gs://bucket/folder`; default: `data_dir/files`."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    tracing: Literal["off", "otlp"] = "off"
    """OpenTelemetry traces of requests, jobs, capability calls and queries. `otlp` sends them by OTLP over HTTP to
    where the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`); it needs the extra `tracing`."""

    limits: Limits = Limits()
    front_door: FrontDoorOptions = FrontDoorOptions()
    database: DatabaseOptions = DatabaseOptions()
    fetch: Fetch = Fetch()
    storage: StorageOptions = StorageOptions()
    jobs: Jobs = Jobs()
    runtime: Runtime = Runtime()
    deadlines: Deadlines = Deadlines()
    embedding: Embedding = Embedding()
    tags: Tags = Tags()
    faces: FaceOptions = FaceOptions()
    duplicates: Duplicates = Duplicates()
    texts: Texts = Texts()
    diffusion: Diffusion = Diffusion()
    styles: Styles = Styles()
    segmentation: SegmentationOptions = SegmentationOptions()
    avatars: Avatars = Avatars()
    auth: Auth = Auth()
    retention: Retention = Retention()
    quotas: Quotas = Quotas()
    events: Events = Events()
    immich: Immich = Immich()
    providers: Providers = Providers()

    @field_validator("public_url")
    @classmethod
    def _has_host(cls, url: str | None) -> str | None:
        if url and not (url.startswith(("http://", "https://")) and urlsplit(url).hostname):
            raise ValueError("must look like https://photos.example")
        return url or None

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"'{origin}' is no origin: scheme, host and port only, like https://app.example")
        return tuple(origin.lower() for origin in origins)

    @property
    def embedding_model(self) -> str:
        """Name of the model of stored vectors; vectors of another name are computed anew."""
        chosen = self.embedding
        if chosen.engine == "open_clip":
            return f"open_clip/{chosen.open_clip_model}/{chosen.open_clip_pretrained}/views{VIEWS_VERSION}"
        return f"{chosen.engine}/views{VIEWS_VERSION}"

    @property
    def clip_weights(self) -> str | None:
        """Weights of the embedding model as `immich.models` names them; None: it is no CLIP."""
        chosen = self.embedding
        return (
            f"open_clip:{chosen.open_clip_model}/{chosen.open_clip_pretrained}"
            if chosen.engine == "open_clip"
            else None
        )

    @property
    def texts_model(self) -> str:
        """Name of the model that stored texts were read with."""
        chosen = self.texts.recognition_model
        return f"rapidocr/{chosen.name if chosen else 'pp-ocrv6-small'}/{TEXTS_VERSION}"

    @property
    def faces_model(self) -> str:
        """Name of the model that stored faces were found with."""
        return f"{_FACES_MODELS[self.faces.recogniser]}/{FACES_VERSION}"


VIEWS_VERSION = 1
"""Version of the views: raised when `contracts.arrays.VIEWS` or their cutting changes."""
_FACES_MODELS = {"mobilefacenet": "local-mobilefacenet", "dlib": "local", "insightface": "insightface"}
"""Face network -> name of its stored faces. `local` alone is dlib: it was the only one once."""
TEXTS_VERSION = 1
"""Version of the texts: raised when their detection, reading or order changes."""
FACES_VERSION = 1
"""Version of the faces: raised when their detection, alignment or embedding changes."""
