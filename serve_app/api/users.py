"""Routes of users, their keys and their history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from serve_app.api.answers import PREFIX, LinksDep
from serve_app.api.deps import CallerDep, ServicesDep
from serve_app.api.history import Cursor, HistoryKind, HistoryLimit, history_page
from serve_app.api.problems import responses
from serve_app.api.schemas.users import History, NewKey, NewUser, TutorialUser, UserList, UserRequest, UserView
from serve_app.services.accounts.users import Caller, StoredUser
from serve_app.services.container import Services

# Not `IdempotentRoute`: a kept answer would hold a key in the clear.
router = APIRouter(prefix=f"{PREFIX}/users", tags=["users"])
tutorial = APIRouter(prefix="/users", tags=["tutorial"])

UserId = Annotated[str, Path(examples=["usr_01m80cw92wytpj416mh8yyxn5m"])]
_SECRET = {"Cache-Control": "no-store"}
_MOST_LISTED = 1000


def _view(user: StoredUser) -> UserView:
    return UserView.model_validate(user, from_attributes=True)


@router.post("", status_code=201, response_model=NewUser, responses=responses(403, 409, 422))
async def create_user(body: UserRequest, caller: CallerDep, services: ServicesDep, response: Response) -> NewUser:
    """Make a user and its key. The key is shown this once: only its hash is kept."""
    caller.check_admin()
    user, key = await services.users.create(body.username, body.email)
    response.headers.update(_SECRET)
    return NewUser(**_view(user).model_dump(), api_key=key)


@tutorial.post("/", status_code=201, response_model=NewUser, responses=responses(403, 409, 422))
async def add_user(body: UserRequest, caller: CallerDep, services: ServicesDep, response: Response) -> NewUser:
    """Make a user and its key; `POST /api/v1/users` in the tutorial's spelling."""
    return await create_user(body, caller, services, response)


@router.get("", response_model=UserList, responses=responses(403, 422))
async def list_users(
    caller: CallerDep, services: ServicesDep, limit: HistoryLimit = 50, cursor: Cursor = None
) -> UserList:
    """List users, the newest first."""
    caller.check_admin()
    users, next_cursor = await services.users.load_page(limit, cursor)
    return UserList(items=[_view(user) for user in users], next_cursor=next_cursor)


@tutorial.get("/", response_model=list[TutorialUser], responses=responses(403, 422))
async def list_all_users(
    caller: CallerDep,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = _MOST_LISTED,
    cursor: Annotated[str | None, Query(max_length=200, description="`id` of the last user of the list before")] = None,
) -> list[UserView]:
    """List users, the newest first, as a bare list; `GET /api/v1/users` in the tutorial's spelling."""
    caller.check_admin()
    users, _ = await services.users.load_page(limit, cursor)
    return [_view(user) for user in users]


@router.get("/{user_id}", response_model=UserView, responses=responses(404))
async def get_user(user_id: UserId, caller: CallerDep, services: ServicesDep) -> UserView:
    """Describe one user: with a user's key, oneself."""
    return _view(await _find(user_id, caller, services))


@router.delete("/{user_id}", status_code=204, responses=responses(404, 409))
async def delete_user(user_id: UserId, caller: CallerDep, services: ServicesDep) -> Response:
    """Delete a user with images, albums, vectors, faces, results, jobs and history. Running jobs are stopped."""
    caller.check_may_see(user_id)
    await services.users.delete(user_id)
    return Response(status_code=204)


@router.post("/{user_id}/api-key", status_code=201, response_model=NewKey, responses=responses(404))
async def renew_key(user_id: UserId, caller: CallerDep, services: ServicesDep, response: Response) -> NewKey:
    """Make a new key, shown this once. The one before is void from now on."""
    caller.check_may_see(user_id)
    response.headers.update(_SECRET)
    return NewKey(api_key=await services.users.renew_key(user_id))


@router.delete("/{user_id}/api-key", status_code=204, responses=responses(404))
async def revoke_key(user_id: UserId, caller: CallerDep, services: ServicesDep) -> Response:
    """Make the key void. Only the administrator can give the user another."""
    caller.check_may_see(user_id)
    await services.users.revoke_key(user_id)
    return Response(status_code=204)


@router.get("/{user_id}/history", response_model=History, responses=responses(404, 422))
async def list_history_of(
    user_id: UserId,
    caller: CallerDep,
    services: ServicesDep,
    links: LinksDep,
    kind: HistoryKind = None,
    limit: HistoryLimit = 50,
    cursor: Cursor = None,
) -> History:
    """List the history of this user, as `GET /history` does."""
    user = await _find(user_id, caller, services)
    return await history_page(services, user.id, links, kind, limit, cursor)


@tutorial.get("/{user_id}/history", response_model=History, responses=responses(404, 422))
async def list_user_history(
    user_id: UserId,
    caller: CallerDep,
    services: ServicesDep,
    links: LinksDep,
    kind: HistoryKind = None,
    limit: HistoryLimit = 50,
    cursor: Cursor = None,
) -> History:
    """List the history of this user; `GET /api/v1/users/{user_id}/history` in the tutorial's spelling."""
    return await list_history_of(user_id, caller, services, links, kind, limit, cursor)


async def _find(user_id: str, caller: Caller, services: Services) -> StoredUser:
    caller.check_may_see(user_id)
    return await services.users.get(user_id)
