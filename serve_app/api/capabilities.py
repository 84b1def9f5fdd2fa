"""Route of what the server works with."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.api.answers import PREFIX
from serve_app.api.deps import CurrentUser, ServicesDep
from serve_app.services.installed_models import CapabilityReport, report_capabilities

router = APIRouter(prefix=PREFIX, tags=["capabilities"])


@router.get("/capabilities", response_model=CapabilityReport)
async def get_capabilities(user: CurrentUser, services: ServicesDep) -> CapabilityReport:
    """Describe the models that albums are analysed with: names, and licences of their weights."""
    return report_capabilities(services.settings)
