"""A client of Darkroom's HTTP API, synchronous (`Darkroom`) and asynchronous (`AsyncDarkroom`)."""

from darkroom_client._async.album import AsyncAlbum
from darkroom_client._async.client import AsyncDarkroom
from darkroom_client._async.job import AsyncJob
from darkroom_client._async.picture import AsyncPicture
from darkroom_client._sync.album import Album
from darkroom_client._sync.client import Darkroom
from darkroom_client._sync.job import Job
from darkroom_client._sync.picture import Picture
from darkroom_client.errors import ApiError, DarkroomError
from darkroom_client.files import Progress, Uploaded
from darkroom_client.retries import Retries

__all__ = [
    "Album",
    "ApiError",
    "AsyncAlbum",
    "AsyncDarkroom",
    "AsyncJob",
    "AsyncPicture",
    "Darkroom",
    "DarkroomError",
    "Job",
    "Picture",
    "Progress",
    "Retries",
    "Uploaded",
]
