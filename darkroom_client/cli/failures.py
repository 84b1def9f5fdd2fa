"""Failures as one line for the user, and an exit status for scripts, by kind."""

from __future__ import annotations

from darkroom_client.errors import AnswerLost, ApiError, DarkroomError, JobStillRunning, Unreachable

FAILED, USAGE, NO_KEY, NO_SERVER, BUSY, STOPPED = 1, 2, 3, 4, 5, 130
"""Exit statuses: the request failed for a reason of its own; the command line is wrong; a key is missing or not enough;
no server answers; the server is overloaded or not ready; Ctrl-C."""

_WHAT_TO_DO = {
    "unauthenticated": "Set DARKROOM_API_KEY, or DARKROOM_ADMIN_KEY for users, or put the key into the config file.",
    "forbidden": "Pictures want a user's key (DARKROOM_API_KEY), users the administrator's (DARKROOM_ADMIN_KEY).",
    "quota-exceeded": "Delete something first: `darkroom delete ALBUM`.",
    "misdirected": "Name the server with --server as its DARKROOM_PUBLIC_URL does, or set that on the server.",
    "overloaded": "The server is busy: try again in a moment.",
    "unavailable": "Something that the server needs is away: try again in a moment.",
    "not-ready": "The server still starts: try again in a moment.",
    "deadline-exceeded": "The work took too long: try again, or with fewer pictures at once.",
    "provider-timeout": "The vendor took too long: try again, or another --engine.",
    "provider-unavailable": "The vendor cannot be reached: try again, or another --engine.",
    "weights-missing": "On the server, `make setup` installs the models.",
    "not-deployed": "The server runs without what this needs; its log and its operator know how to add it.",
    "image-too-large": "Make the picture smaller, or ask the operator to raise the server's limits.",
    "payload-too-large": "Send less at once, or ask the operator to raise the server's limits.",
}
_BUSY_SLUGS = frozenset({"overloaded", "unavailable", "not-ready", "not-deployed", "weights-missing"})
_BUSY_STATUSES = frozenset({429, 503, 504})


class CommandError(Exception):
    """A failure that ends the command with one line for the user."""


def explain(error: Exception) -> tuple[str, int]:
    """Say what went wrong and what to do about it. -> a line, an exit status"""
    if isinstance(error, Unreachable):
        return f"{error} Start one with `make run`, or name another with --server.", NO_SERVER
    if isinstance(error, AnswerLost):
        return f"{error} Is the server still there? `darkroom jobs` shows what goes on.", NO_SERVER
    if isinstance(error, JobStillRunning):
        return f"{error} `darkroom job ID` shows how far it is.", BUSY
    if isinstance(error, ApiError):
        return _explain_problem(error)
    return str(error), FAILED


def _explain_problem(error: ApiError) -> tuple[str, int]:
    line = str(error)
    if error.slug == "internal-error":
        line += f" ({error.instance})"
    elif error.slug in _WHAT_TO_DO:
        line = f"{line.rstrip('.')}. {_WHAT_TO_DO[error.slug]}"
    elif not error.detail:
        line += ". Is this the address of a Darkroom? --server names another."
    if error.retry_after_s:
        line += f" The server asks for {error.retry_after_s:.0f} s."
    if error.status in (401, 403) and error.slug not in ("quota-exceeded", "cross-origin"):
        return line, NO_KEY
    return line, BUSY if error.status in _BUSY_STATUSES or error.slug in _BUSY_SLUGS else FAILED


KNOWN = (CommandError, DarkroomError)
