"""What a job needs of its worker: while a cluster is upgraded, older workers put back what they do not know.

A worker that looked past a part of a request would make something else, and nobody would hear of it. So a request that
uses a part which is younger than requests of its kind carries the part's name, and runs only where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from deployments.errors import Unavailable

Need = Literal["adetailer", "xyz-plot"]
"""Parts of requests that workers of some older version look past. A new part that changes what is made gets a name."""
NEEDS = frozenset[str](get_args(Need))
MEMBER = "needs"
"""Member of a job's payload with the names."""
_MAX_SHOWN = 200


def check_needs(payload: Mapping[str, Any]) -> None:
    """Check that this worker knows all that a job needs. Raises `Unavailable` where it is too old: the job waits for a
    newer one, as it would for an engine that is away."""
    if unknown := sorted(str(need) for need in payload.get(MEMBER, ()) if need not in NEEDS):
        raise Unavailable(
            f"The job waits for a newer worker: this one does not know {', '.join(unknown)[:_MAX_SHOWN]}."
        )
