"""File storage by key: one protocol, implemented on a folder, on S3 and on Google Cloud Storage.

An object is written once under a key that names its content and is never changed afterwards, so putting it again is
harmless and anybody may keep a copy.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from configs.settings import Settings
from serve_app.storage.bucket import BucketStorage
from serve_app.storage.keys import content_key, is_key
from serve_app.storage.local import LocalStorage
from serve_app.storage.protocols import Storage, StoredObject

__all__ = ["Storage", "StoredObject", "content_key", "is_key", "open_storage"]


async def open_storage(url: str | None, settings: Settings) -> Storage:
    """Open the storage at `file:///folder`, `s3://bucket/folder` or `gs://bucket/folder`; None is `data_dir/files`.

    Raises `ValueError` for another address, `errors.Unavailable` when the folder cannot be used, or the vendor's
    library or credentials are missing.
    """
    parts = urlsplit(url or "")
    if parts.scheme in ("s3", "gs"):
        try:
            return await BucketStorage.at(str(url), settings.storage)
        except ValueError as error:
            raise ValueError(f"storage_url is {error}") from error
    if settings.storage.urls != "server":
        raise ValueError(f"storage.urls={settings.storage.urls} needs a storage_url with s3:// or gs://")
    if url is None:
        return await LocalStorage.at(settings.data_dir / "files")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return await LocalStorage.at(Path(unquote(parts.path)))
    raise ValueError(
        f"storage_url must look like file:///folder, s3://bucket/folder or gs://bucket/folder, not {parts.scheme}:"
    )
