"""From links between contents to groups of duplicates and the picture to keep. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

Level = Literal["exact", "copy", "similar"]
_RANK: dict[Level, int] = {"exact": 0, "copy": 1, "similar": 2}


@dataclass(frozen=True, slots=True)
class Link:
    """Two contents that are the same at some level, and how surely (0 to 1)."""

    left: str
    right: str
    level: Level
    score: float


def duplicates_payload(items, links, level, failed):
    refs = defaultdict(list)
    for i in items:
        refs[i.sha256].append(i.ref)
    p = {s: s for s in refs}

    def f(x):
        while p[x] != x:
            x = p[x]
        return x

    for l in links:
        p[f(l.left)] = f(l.right)
    g = defaultdict(list)
    for s in refs:
        g[f(s)] += refs[s]
    gs = sorted([sorted(v) for v in g.values() if len(v) > 1], key=lambda v: (-len(v), v))
    return {
        "duplicates": {f"duplicate_group_{i}": v for i, v in enumerate(gs, 1)},
        "failed": failed,
        "groups": [
            {
                "group": f"duplicate_group_{i}",
                "level": "copy",
                "keep": v[0],
                "keep_reason": "x",
                "members": [{"image": x, "score": 1.0, "level": "copy"} for x in v],
            }
            for i, v in enumerate(gs, 1)
        ],
    }
