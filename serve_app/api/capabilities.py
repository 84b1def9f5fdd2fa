"""Route of what the server works with."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from serve_app.api.answers import PREFIX
from serve_app.api.deps import CallerDep, CurrentUser, ServicesDep
from serve_app.api.problems import responses
from serve_app.services.capabilities import CapabilityReport
from serve_app.services.vocabulary import TagWords, tag_words

router = APIRouter(prefix=PREFIX, tags=["capabilities"])


@router.get("/capabilities", response_model=CapabilityReport)
async def get_capabilities(caller: CallerDep, services: ServicesDep) -> CapabilityReport:
    """Describe what this server works with: models, engines, limits, and which routes can do their work.

    Of models it tells names, and licences of their weights. Clients hide what cannot work.
    An administrator is told where Ray's dashboard is.
    """
    return await services.capabilities.report(is_admin=caller.is_admin)


@router.get("/vocabulary", response_model=TagWords, responses=responses(422))
async def get_vocabulary(
    user: CurrentUser,
    response: Response,
    language: Annotated[Literal["ko", "ja", "zh", "de", "fr", "es"], Query(description="one of `locales`")],
) -> TagWords:
    """List a word for each tag in another language, for showing: tags are English wherever the API names them."""
    response.headers["Cache-Control"] = "private, max-age=3600"
    return tag_words(language)
