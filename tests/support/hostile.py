"""Objects whose pickles would run code."""

from __future__ import annotations

from typing import Any


class Boom:
    """Object whose pickle calls a function when it is loaded."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self._made_by = (call, arguments)

    def __reduce__(self) -> Any:
        return self._made_by
