"""The Python client against the OpenAPI document: every route has a method, and none has drifted away.

Whoever adds a route adds a method of its name to `darkroom_client/_async`, runs `python -m bench.tools.client`, and
adds a call to `CALLS`; until then the operation is named in `NOT_COVERED_YET`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from bench.tools.client import CLIENT, generated
from bench.tools.openapi import document
from darkroom_client import AsyncDarkroom, Darkroom
from darkroom_client.errors import BY_SLUG
from serve_app.api.problem_types import load_problem_types
from tests.support.documented_server import DocumentedServer
from tests.support.openapi import operations

NOT_COVERED_YET: set[str] = set()
"""Operations without a method, the one place where they are listed."""
OTHER_SPELLINGS = {"upload_image", "generate_animal_avatar", "add_user", "list_all_users", "list_user_history"}
"""Operations of the tutorial: those of `/api/v1` do the same."""
REF = "http://127.0.0.1:8000/api/v1/files/img_1.jpg"
ALBUM = "trips/2026 may"
GROUP = "dup_5d41402abc4b2a76b9719d911017c592"
PAGE: dict[str, Any] = {"limit": 7, "cursor": "c"}
RESULT = "5d41402abc4b2a76b9719d911017c592"
STYLE: dict[str, Any] = {"prompt": "p", "negative_prompt": "n", "strength": 0.5, "seed": 7, "engine": "local"}
Call = Callable[[AsyncDarkroom], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "upload_images": lambda client: client.upload_images([("a.jpg", b"a"), ("b.jpg", b"b")]),
    "get_image": lambda client: client.get_image("img_1"),
    "delete_image": lambda client: client.delete_image("img_1"),
    "get_file": lambda client: client.get_file(REF, size=256, format="webp"),
    "list_images": lambda client: client.list_images(
        album_id=ALBUM,
        tag="sea",
        person_id="per_1",
        taken_from=datetime(2026, 1, 1, tzinfo=UTC),
        taken_to=datetime(2026, 2, 1, tzinfo=UTC),
        min_quality=0.5,
        issue="blurry",
        sha256="ab" * 32,
        sort="taken",
        fields="id,tags",
        **PAGE,
    ),
    "search_library": lambda client: client.search_library(
        "dog -cat",
        album_id=ALBUM,
        tag="sea",
        person_id="per_1",
        taken_from=datetime(2026, 1, 1, tzinfo=UTC),
        taken_to=datetime(2026, 2, 1, tzinfo=UTC),
        min_quality=0.5,
        issue="blurry",
        sha256="ab" * 32,
        **PAGE,
    ),
    "suggest_words": lambda client: client.suggest_words("do", 5),
    "change_image": lambda client: client.change_image(
        "img_1", filename="a.jpg", taken_at="2026-01-01T12:00:00", tags={"add": ["sea"]}, revision='"1"'
    ),
    "find_image": lambda client: client.find_image("0" * 64),
    "change_images": lambda client: client.change_images(["img_1"], "add_to_album", ALBUM),
    "list_trash": lambda client: client.list_trash(**PAGE),
    "empty_trash": lambda client: client.empty_trash(),
    "list_people": lambda client: client.list_people(album_id=ALBUM, named=True, hidden=True, **PAGE),
    "get_person": lambda client: client.get_person("per_1"),
    "list_person_faces": lambda client: client.list_person_faces("per_1", "time", **PAGE),
    "list_person_images": lambda client: client.list_person_images("per_1", **PAGE),
    "change_person": lambda client: client.change_person(
        "per_1", name="Eva", birth_date="1990-05-17", hidden=True, clear=["cover_face_id"], revision='"per_1.4"'
    ),
    "merge_people": lambda client: client.merge_people("per_1", ["per_2"], revision='"per_1.4"'),
    "split_person": lambda client: client.split_person("per_1", ["fac_1"], revision='"per_1.4"'),
    "list_image_faces": lambda client: client.list_image_faces("img_1"),
    "get_face": lambda client: client.get_face("fac_1"),
    "get_face_crop": lambda client: client.get_face_crop("fac_1", 512, "jpeg"),
    "assign_face": lambda client: client.assign_face("fac_1", new=True, name="Eva", revision='"1"'),
    "reject_face": lambda client: client.reject_face("fac_1", "per_1", revision='"1"'),
    "list_suggestions": lambda client: client.list_suggestions(7),
    "answer_suggestion": lambda client: client.answer_suggestion("sug_1", "no"),
    "list_corrections": lambda client: client.list_corrections("must", **PAGE),
    "undo_correction": lambda client: client.undo_correction("cor_1"),
    "undo_last": lambda client: client.undo_last(),
    "give_feedback": lambda client: client.give_feedback({"image_id": "img_1", "tag": "dog"}, "wrong", "a wolf"),
    "list_feedback": lambda client: client.list_feedback(**PAGE),
    "forget_feedback": lambda client: client.forget_feedback("fbk_1"),
    "list_jobs": lambda client: client.list_jobs(status="failed", kind="tags", album_id=ALBUM, **PAGE),
    "retry_job": lambda client: client.retry_job("job_1"),
    "watch_events": lambda client: first(client.watch_events("1-2")),
    "watch_album_events": lambda client: first(client.watch_album_events(ALBUM)),
    "create_webhook": lambda client: client.create_webhook("https://example.org/", ["job"], "whsec_" + 40 * "A"),
    "list_webhooks": lambda client: client.list_webhooks(),
    "get_webhook": lambda client: client.get_webhook("whk_1"),
    "enable_webhook": lambda client: client.enable_webhook("whk_1"),
    "delete_webhook": lambda client: client.delete_webhook("whk_1"),
    "embed_album": lambda client: client.embed_album([REF], ALBUM),
    "make_demo_album": lambda client: client.make_demo_album(),
    "tag_album": lambda client: client.tag_album(
        images=(REF,), labels=("sea", "dog"), top_k=3, threshold=0.5, detail=True
    ),
    "find_duplicates": lambda client: client.find_duplicates(ALBUM, level="similar", detail=True),
    "cluster_people": lambda client: client.cluster_people(ALBUM, min_images=2, bystanders=True, detail=True),
    "assess_quality": lambda client: client.assess_quality(ALBUM, detail=True),
    "read_texts": lambda client: client.read_texts(ALBUM, min_score=0.8, likely_only=True, detail=True),
    "list_albums": lambda client: client.list_albums(**PAGE),
    "create_album": lambda client: client.create_album(ALBUM, "May"),
    "get_album": lambda client: client.get_album(ALBUM, "images,jobs"),
    "change_album": lambda client: client.change_album(ALBUM, "May", '"1"'),
    "add_album_images": lambda client: client.add_album_images(ALBUM, [REF]),
    "remove_album_images": lambda client: client.remove_album_images(ALBUM, [REF]),
    "delete_album": lambda client: client.delete_album(ALBUM),
    "search_album": lambda client: client.search_album(ALBUM, "dog -cat", limit=3),
    "similar_images": lambda client: client.similar_images(ALBUM, REF, limit=3),
    "list_album_images": lambda client: client.list_album_images(ALBUM, **PAGE),
    "list_album_tags": lambda client: client.list_album_tags(ALBUM, **PAGE, result=RESULT),
    "list_album_duplicates": lambda client: client.list_album_duplicates(
        ALBUM, level="copy", status="open", **PAGE, result=RESULT
    ),
    "resolve_duplicates": lambda client: client.resolve_duplicates(ALBUM, GROUP, ["img_1"], ["img_2"], ["tags"]),
    "dismiss_duplicates": lambda client: client.dismiss_duplicates(ALBUM, GROUP),
    "resolve_all_duplicates": lambda client: client.resolve_all_duplicates(
        ALBUM, "exact", "suggested", False, RESULT, ["albums"]
    ),
    "list_album_people": lambda client: client.list_album_people(ALBUM, **PAGE, result=RESULT),
    "list_album_faces": lambda client: client.list_album_faces(ALBUM, "per_1", **PAGE, result=RESULT),
    "list_album_quality": lambda client: client.list_album_quality(ALBUM, **PAGE, result=RESULT),
    "list_album_texts": lambda client: client.list_album_texts(ALBUM, **PAGE, result=RESULT),
    "list_album_failures": lambda client: client.list_album_failures(ALBUM, "people", **PAGE, result=RESULT),
    "list_styles": lambda client: client.list_styles(),
    "make_style": lambda client: client.make_style(REF, "oil", **STYLE),
    "list_animals": lambda client: client.list_animals(),
    "make_avatar": lambda client: client.make_avatar(REF, "fox", mode="overlay", **STYLE),
    "segment": lambda client: client.segment(REF, target="person", engine="local"),
    "get_job": lambda client: client.get_job("job_1"),
    "cancel_job": lambda client: client.cancel_job("job_1"),
    "watch_job": lambda client: first(client.watch_job("job_1").events()),
    "list_history": lambda client: client.list_history("style", **PAGE),
    "get_history": lambda client: client.get_history("gen_1"),
    "create_user": lambda client: client.create_user("eva", "eva@example.org"),
    "list_users": lambda client: client.list_users(**PAGE),
    "get_user": lambda client: client.get_user("usr_1"),
    "delete_user": lambda client: client.delete_user("usr_1"),
    "renew_key": lambda client: client.renew_key("usr_1"),
    "revoke_key": lambda client: client.revoke_key("usr_1"),
    "list_history_of": lambda client: client.list_history_of("usr_1", "avatar", **PAGE),
    "open_session": lambda client: client.open_session("dk_1"),
    "close_session": lambda client: client.close_session(),
    "get_capabilities": lambda client: client.get_capabilities(),
    "get_vocabulary": lambda client: client.get_vocabulary("ko"),
    "healthz": lambda client: client.healthz(),
    "readyz": lambda client: client.readyz(),
    "metrics": lambda client: client.metrics(),
    "explain_problem": lambda client: client.explain_problem("not-found"),
}


async def first(events: AsyncIterator[Any]) -> Any:
    async for event in events:
        return event
    raise AssertionError("no event came")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document()


def test_every_operation_of_the_document_has_a_method_of_its_name(described: dict[str, Any]) -> None:
    documented = {operation["operationId"] for _, _, operation in operations(described)} - OTHER_SPELLINGS
    assert not documented - CALLS.keys() - NOT_COVERED_YET, "operations that the client cannot call"
    assert not CALLS.keys() - documented, "calls of operations that are gone"
    assert not NOT_COVERED_YET & CALLS.keys(), "these are covered now"
    assert all(callable(getattr(AsyncDarkroom, name)) for name in CALLS)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_call_is_what_the_document_asks_for_and_its_answer_is_understood(
    described: dict[str, Any], name: str
) -> None:
    server = DocumentedServer(described)
    async with AsyncDarkroom("http://server", transport=httpx2.MockTransport(server)) as client:
        answer = await CALLS[name](client)
    assert server.called == [name]
    found = answer if isinstance(answer, BaseModel) else getattr(answer, "_ready", None)
    if isinstance(found, BaseModel):
        assert not found.model_extra, "fields that the client's model does not know"


def test_every_parameter_of_a_route_is_one_of_its_method(described: dict[str, Any]) -> None:
    for _, _, operation in operations(described):
        name = operation["operationId"]
        if name in OTHER_SPELLINGS | NOT_COVERED_YET:
            continue
        sent = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            title = content["schema"].get("$ref", "").rpartition("/")[2]
            schema = described["components"]["schemas"][title] if title else content["schema"]
            sent |= schema["properties"].keys()
        known = set(inspect.signature(getattr(AsyncDarkroom, name)).parameters)
        takes_file = {"picture", "files"} & known
        assert sent - known <= ({"file", "image_url"} if takes_file else set()), name


def test_what_is_generated_is_as_its_sources_say() -> None:
    stale = [path.name for path, text in generated().items() if path.read_text() != text]
    assert not stale, "run `python -m bench.tools.client`"


def test_the_synchronous_client_has_every_method_of_the_other() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(Darkroom) == public(AsyncDarkroom)
    assert not any(inspect.iscoroutinefunction(getattr(Darkroom, name)) for name in public(Darkroom))


def test_nothing_asynchronous_is_left_in_the_synchronous_modules() -> None:
    for module in (CLIENT / "_sync").glob("*.py"):
        code = [line for line in module.read_text().splitlines() if not line.lstrip().startswith("#")]
        assert not any(word in line for line in code for word in ("await", "async ", "Async", "asyncio")), module.name


def test_there_is_an_exception_for_each_type_of_problem() -> None:
    other = {"error", "web-ui-error"}  # the base of the server's errors, and those of the Stable Diffusion web API
    assert set(BY_SLUG) == set(load_problem_types()) - other
