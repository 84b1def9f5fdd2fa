"""What `make chaos` says of a server: nothing where nothing happened, and whatever is lost or answered wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from bench.faults import checks
from bench.faults.client import Client
from bench.faults.journal import Entry, Journal, Picture, read
from bench.faults.pictures import Pictures
from bench.faults.traffic import User
from configs.settings import Settings
from configs.styles import Style, load_styles
from deployments.assets.animals import Animal, load_animals
from deployments.bundle import Bundle

pytestmark = pytest.mark.weights
SEED = 3


@pytest.fixture
def capabilities(engines: Bundle) -> Bundle:
    return engines


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"styles": Settings().styles})


@pytest.fixture
def styles() -> Mapping[str, Style]:
    return load_styles()


@pytest.fixture
def animals() -> Mapping[str, Animal]:
    return load_animals()


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return Pictures(SEED)


@pytest.fixture
def client(live_url: str) -> Iterator[Client]:  # type: ignore[override]
    client = Client(live_url, "none", 0)
    yield client
    client.close()


@pytest.fixture
async def one_round(live_url: str, pictures: Pictures, tmp_path: Path) -> list[Entry]:
    """The journal of a round of traffic, with an avatar."""
    return await asyncio.to_thread(play, live_url, pictures, tmp_path / "journal", 1)


@pytest.fixture
async def two_rounds(live_url: str, pictures: Pictures, tmp_path: Path) -> list[Entry]:
    """The journal of two rounds: the second has a style."""
    return await asyncio.to_thread(play, live_url, pictures, tmp_path / "journal", 2)


def play(url: str, pictures: Pictures, path: Path, rounds: int) -> list[Entry]:
    with Journal(path) as journal:
        client = Client(url, "none", 0, journal)
        user = User(client, journal, pictures, SEED)
        for _ in range(rounds):
            user.play()
        client.close()
    return read(path)


async def test_a_server_that_nothing_happened_to_lost_nothing_and_answers_the_same_again(
    client: Client, two_rounds: list[Entry], pictures: Pictures
) -> None:
    verdict, answers = await asyncio.to_thread(checks.check, [client], two_rounds, pictures)
    assert verdict == checks.Verdict()
    assert {subject.split()[0] for subject in answers} == {"tags", "duplicates", "people", "style", "avatar"}

    await asyncio.to_thread(client.call, "delete", "DELETE", "/albums/0-0")
    again = await asyncio.to_thread(checks.undisturbed, [client], checks.acknowledged(two_rounds), pictures)
    assert checks.differences(answers, again) == []


async def test_a_picture_and_an_album_that_are_gone_are_lost(
    client: Client, one_round: list[Entry], pictures: Pictures
) -> None:
    first = next(entry for entry in one_round if isinstance(entry, Picture))
    image = httpx.URL(first.url).path.rpartition("/")[2].partition(".")[0]
    await asyncio.to_thread(client.call, "delete", "DELETE", f"/images/{image}")
    await asyncio.to_thread(client.call, "delete", "DELETE", "/albums/0-0")

    verdict, _ = await asyncio.to_thread(checks.check, [client], one_round, pictures)

    assert f"picture {first.number} of user 0: file: 404" in verdict.lost
    assert "album 0-0" in verdict.lost


async def test_bytes_of_another_picture_are_wrong(client: Client, one_round: list[Entry]) -> None:
    verdict, _ = await asyncio.to_thread(checks.check, [client], one_round, Pictures(SEED + 1))
    assert "the bytes of picture 0 of user 0" in verdict.wrong


async def test_an_album_with_a_picture_too_many_answers_otherwise(
    client: Client, one_round: list[Entry], pictures: Pictures
) -> None:
    _, before = await asyncio.to_thread(checks.check, [client], one_round, pictures)
    [url] = await asyncio.to_thread(client.upload, pictures(0, 12))
    await asyncio.to_thread(client.start, "post", "/albums/embeddings", {"album_id": "0-0", "images": [url]})
    numbers = {url: 12, **{entry.url: entry.number for entry in one_round if isinstance(entry, Picture)}}

    after = await asyncio.to_thread(checks.analyses, client, "0-0", numbers)

    assert any(line.startswith("tags of album 0-0") for line in checks.differences({**before, **after}, before))
