"""Tables of the database, one module a subject.

Rows stay inside `serve_app.store`: repositories hand out frozen dataclasses.
"""

from serve_app.store.models.accounts import IdempotencyKeyRow, SessionRow, UserRow, WebUiOptionRow
from serve_app.store.models.albums import (
    AlbumImageRow,
    AlbumIndexRow,
    AlbumRow,
    AnalysisResultRow,
    PersonFaceRow,
    PersonRow,
    ResultPartRow,
    ResultRow,
)
from serve_app.store.models.base import Base
from serve_app.store.models.corrections import CorrectionRow
from serve_app.store.models.duplicates import DuplicateGroupRow
from serve_app.store.models.events import EventFloorRow, EventRow, WebhookRow
from serve_app.store.models.feedback import FeedbackRow
from serve_app.store.models.history import GenerationRow
from serve_app.store.models.jobs import JobInputRow, JobPreviewRow, JobRow
from serve_app.store.models.people import FaceMoveRow, LibraryFaceRow, LibraryPersonRow, SuggestionRow
from serve_app.store.models.pictures import (
    ContentRow,
    DerivedFileRow,
    FaceRow,
    FaceScanRow,
    ImageRow,
    ImageTagRow,
    PairVerdictRow,
    PictureQualityRow,
    PictureTextsRow,
    PictureVectorsRow,
    TrashedItemRow,
)

__all__ = [
    "AlbumImageRow",
    "AlbumIndexRow",
    "AlbumRow",
    "AnalysisResultRow",
    "Base",
    "ContentRow",
    "CorrectionRow",
    "DerivedFileRow",
    "DuplicateGroupRow",
    "EventFloorRow",
    "EventRow",
    "FaceMoveRow",
    "FaceRow",
    "FaceScanRow",
    "FeedbackRow",
    "GenerationRow",
    "IdempotencyKeyRow",
    "ImageRow",
    "ImageTagRow",
    "JobInputRow",
    "JobPreviewRow",
    "JobRow",
    "LibraryFaceRow",
    "LibraryPersonRow",
    "PairVerdictRow",
    "PersonFaceRow",
    "PersonRow",
    "PictureQualityRow",
    "PictureTextsRow",
    "PictureVectorsRow",
    "ResultPartRow",
    "ResultRow",
    "SessionRow",
    "SuggestionRow",
    "TrashedItemRow",
    "UserRow",
    "WebUiOptionRow",
    "WebhookRow",
]
