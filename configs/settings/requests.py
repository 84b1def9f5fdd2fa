"""Bounds of requests, of what they fetch and of the HTTP port."""

from __future__ import annotations

import re

from pydantic import Field, IPvAnyNetwork, field_validator

from configs.settings.base import Options


class Limits(Options):
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


class Fetch(Options):
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


class FrontDoorOptions(Options):
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
