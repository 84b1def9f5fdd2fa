"""Image sizes in the boxes of a HEIC or AVIF file (ISO/IEC 14496-12 and 23008-12).

A file of this family is a graph of items: the primary image may be assembled from hundreds of tiles, and one item may
be used many times over. So the sizes of all items are read, and the pixels of everything that is referred to are added
up: what a decoder would have to produce, whatever the primary item claims.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1"})
MAX_BOXES = 20_000
"""Boxes and references read in all. libheif stops at 1,000 items."""


@dataclass(frozen=True, slots=True)
class HeifSizes:
    """Type and sizes that a HEIC or AVIF file declares."""

    content_type: str
    width: int
    height: int
    """Width and height of the largest item, before any turn."""
    decoded_pixels: int
    """Pixels of the largest item, or of everything that derived items refer to if that is more."""


def read_heif(data: bytes) -> HeifSizes | None:
    """Read type and sizes of a HEIC or AVIF file; None when its brands are those of something else (a video, say).

    Sizes are 0 where the file gives none.

    Raises `struct.error` when a box is cut short.
    """
    content_type = _content_type(data)
    if content_type is None:
        return None
    sizes: list[tuple[int, int]] = []
    properties: dict[int, list[int]] = {}
    uses: list[int] = []
    budget = _Budget()
    for kind, start, end in _boxes(data, 0, len(data), budget):
        if kind != b"meta":
            continue
        for inner, first, last in _boxes(data, start + 4, end, budget):
            if inner == b"iprp":
                sizes, properties = _item_properties(data, first, last, budget)
            elif inner == b"iref":
                uses = list(_references(data, first, last, budget))
    width, height = max((size for size in sizes if all(size)), key=lambda size: size[0] * size[1], default=(0, 0))
    of_item = {
        item: max((sizes[i][0] * sizes[i][1] for i in indices if i < len(sizes)), default=0)
        for item, indices in properties.items()
    }
    used = sum(of_item.get(item, 0) for item in uses)
    return HeifSizes(content_type, width, height, max(width * height, used))


def _content_type(data: bytes) -> str | None:
    (length,) = struct.unpack_from(">I", data, 0)
    names = data[8:12] + data[16 : min(length, 256)]
    brands = {names[i : i + 4] for i in range(0, len(names), 4)}
    if brands & _AVIF_BRANDS:
        return "image/avif"
    if brands & _HEIC_BRANDS:
        return "image/heic"
    return "image/heif" if brands & _HEIF_BRANDS else None


class _Budget:
    """Count of boxes and references that may still be read."""

    def __init__(self) -> None:
        self.left = MAX_BOXES

    def spend(self) -> None:
        """Count one box or reference. Raises `struct.error` when there are too many."""
        self.left -= 1
        if self.left < 0:
            raise struct.error("too many boxes")


def _boxes(data: bytes, start: int, end: int, budget: _Budget) -> Iterator[tuple[bytes, int, int]]:
    """Iterate (kind, start, end) of the payload of each box between two positions; a box cut short ends at `end`."""
    while start + 8 <= end:
        budget.spend()
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if length == 0 else min(start + length, end)
        if stop < start + head:
            return
        yield kind, start + head, stop
        start = stop


def _item_properties(
    data: bytes, start: int, end: int, budget: _Budget
) -> tuple[list[tuple[int, int]], dict[int, list[int]]]:
    """Read the size of every property, (0, 0) where it is no size, and for each item the indices of its properties."""
    sizes: list[tuple[int, int]] = []
    properties: dict[int, list[int]] = {}
    for kind, first, last in _boxes(data, start, end, budget):
        if kind == b"ipco":
            for inner, at, _ in _boxes(data, first, last, budget):
                sizes.append(struct.unpack_from(">II", data, at + 4) if inner == b"ispe" else (0, 0))
        elif kind == b"ipma":
            properties.update(_associations(data, first, budget))
    return sizes, properties


def _associations(data: bytes, at: int, budget: _Budget) -> Iterator[tuple[int, list[int]]]:
    version_flags, entries = struct.unpack_from(">II", data, at)
    wide_items, wide_indices = version_flags >> 24 >= 1, version_flags & 1
    at += 8
    for _ in range(entries):
        budget.spend()
        item, count = struct.unpack_from(">IB" if wide_items else ">HB", data, at)
        at += 5 if wide_items else 3
        form, essential = (f">{count}H", 0x8000) if wide_indices else (f">{count}B", 0x80)
        yield item, [(index & (essential - 1)) - 1 for index in struct.unpack_from(form, data, at) if index % essential]
        at += struct.calcsize(form)


def _references(data: bytes, start: int, end: int, budget: _Budget) -> Iterator[int]:
    """Iterate every item that another is made from, as often as it is used."""
    (version_flags,) = struct.unpack_from(">I", data, start)
    item = "I" if version_flags >> 24 else "H"
    width = struct.calcsize(item)
    for kind, first, _ in _boxes(data, start + 4, end, budget):
        if kind != b"dimg":
            continue
        (count,) = struct.unpack_from(">H", data, first + width)
        yield from struct.unpack_from(f">{count}{item}", data, first + width + 2)
