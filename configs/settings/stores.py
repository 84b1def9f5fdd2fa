"""Settings of the database, of stored files and of how long and how much is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from configs.settings.base import Options


class StorageOptions(Options):
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


class DatabaseOptions(Options):
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


class Retention(Options):
    """Removal of temporary images, and of those in the trash."""

    temporary_s: float = Field(86400.0, gt=0)
    """Lifetime in seconds of temporary images: those posted or fetched for one avatar, style or segmentation, and the
    masks and cut-outs of a segmentation. An image that an album holds is not temporary, nor is one that was
    uploaded."""
    trash_s: float = Field(30 * 86400.0, gt=0)
    """Seconds that an image lies in the trash before it is deleted for good."""


class Quotas(Options):
    """What one user may keep; None: any amount. Requests that come at the same time may each be the last one below."""

    stored_bytes: int | None = Field(None, gt=0)
    """Bytes of the user's images, temporary ones included; equal files count as often as they were sent."""
    images: int | None = Field(None, gt=0)
    """Images, temporary ones included."""
    albums: int | None = Field(None, gt=0)
    """Albums; those of analyses without `album_id`, which go after a day, are not counted."""
    kept_answers: int | None = Field(100_000, gt=0)
    """Answers kept for repeated requests (`Idempotency-Key`), for `jobs.keep_finished_s` seconds each."""


class Events(Options):
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
