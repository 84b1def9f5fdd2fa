"""Route of what the server works with."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.api.answers import PREFIX
from serve_app.api.deps import CallerDep, ServicesDep
from serve_app.services.capabilities import CapabilityReport

router = APIRouter(prefix=PREFIX, tags=["capabilities"])


@router.get("/capabilities", response_model=CapabilityReport)
async def get_capabilities(caller: CallerDep, services: ServicesDep) -> CapabilityReport:
    """Describe what this server works with: models, engines, limits, and which routes can do their work.

    Of models it tells names, and licences of their weights. Clients hide what cannot work.
    An administrator is told where Ray's dashboard is.
    """
    return await services.capabilities.report(is_admin=caller.is_admin)
