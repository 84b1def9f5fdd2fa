"""The journal of clients."""

from __future__ import annotations

from pathlib import Path

from bench.faults.journal import (
    AlbumPost,
    Answer,
    Call,
    Deletion,
    Edit,
    Entry,
    Journal,
    Picture,
    Wrong,
    longest_stall_s,
    read,
)


def test_entries_come_back_as_they_were_written(tmp_path: Path) -> None:
    entries: list[Entry] = [
        Answer(1.5, 0, "upload", "201", 0.2, False),
        Call(1.5, 0, "upload", 0.2),
        Picture(0, 3, "http://host/file"),
        AlbumPost(1, "1-0", [3, 4], None),
        Edit(0, "style", 3, "job_1"),
        Deletion(1, "1-0", True),
        Wrong(1, "the bytes of picture 3"),
    ]
    with Journal(tmp_path / "journal") as journal:
        for entry in entries:
            journal.add(entry)
    assert read(tmp_path / "journal") == entries


def test_the_longest_stall_is_the_longest_time_without_a_call_that_ended_well() -> None:
    calls = [Call(at, user, "file", 0.1) for at, user in ((7.0, 0), (1.0, 1), (3.0, 0))]
    refused = Answer(5.0, 0, "file", "503", 0.1, True)
    assert longest_stall_s([*calls, refused]) == 4.0
