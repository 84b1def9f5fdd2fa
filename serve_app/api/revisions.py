"""States of what is changed, as `ETag` names them and `If-Match` asks for them (RFC 9110)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

IfMatch = Annotated[
    str | None, Header(max_length=1000, description="`ETag` of the state that is to be changed; another one: 412")
]


def etag(revision: str) -> dict[str, str]:
    """Make the header that names a state."""
    return {"ETag": f'"{revision}"'}


def revisions_of(if_match: str | None) -> list[str] | None:
    """Read the states that `If-Match` names; None: any."""
    return None if if_match is None or if_match.strip() == "*" else re.findall(r'"([^"]*)"', if_match)
