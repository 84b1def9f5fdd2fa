"""Tags of pages by what is written on them: documents, receipts and screenshots, which no class of ImageNet shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deployments.algorithms.tags.translations import plain
from deployments.contracts.arrays import Vectors
from deployments.contracts.texts import Text

PAGE_WORDS = {
    "document": {"documents", "text document", "scanned document", "document page", "written page"},
    "receipt": {"receipts", "invoice", "invoices", "sales slip", "sales receipt", "till receipt"},
    "screenshot": {"screenshots", "screen capture", "screen captures"},
}
"""Tags that text decides, with other words for them."""
_BESIDE = frozenset({*PAGE_WORDS, "menu", "website", "book", "envelope", "person", "people", "group"})
"""Tags that a page of text may have besides: of paper, and of the faces in its pictures."""
_AMOUNT = re.compile(r"(?<![\d.,])\d{1,3}(?:[ .,']?\d{3})*[.,]\d{2}(?![\d.,])")
_TOTAL = re.compile(
    r"\b(?:(?:sub|grand )?totals?|amount due|balance due|sum|summe|gesamt\w*|endbetrag|zu zahlen|betrag|totale|"
    r"importe|montant|somme|a payer|ttc|suma|totaal)\b|合計|合计|总计|總計|小計|小计|应付|お会計"
)
_TAX = re.compile(
    r"\b(?:vat|mwst|ust|tva|iva|btw|sales tax|tax|cash|change|card|visa|mastercard|bar|karte|invoice|rechnung|facture|"
    r"factura|fattura|receipt|quittung|bon|ticket|recibo|qty|menge)\b|税|現金|お釣|发票|發票|领収|領収"
)
_CLOCK = re.compile(r"^(?:[01]?\d|2[0-3]):[0-5]\d\b")
_PERCENT = re.compile(r"\b\d{1,3} ?%$")


@dataclass(frozen=True, slots=True)
class PageRules:
    """From when on what is written makes a picture a page. Shares are of the picture's area."""

    min_lines: int = 5
    min_share: float = 0.07
    """Of the lines themselves ..."""
    min_extent: float = 0.2
    """... and of the upright box around them."""
    min_level: float = 0.8
    """Share of the writing that runs in one direction."""
    min_amounts: int = 2
    """Amounts of money on a receipt, beside its total."""
    sure: float = 0.5
    """Probability from which on what the models see decides, whatever is written on it."""


def page_tags(texts: Sequence[Text], width: int, height: int, rules: PageRules = PageRules()) -> dict[str, float]:
    """Derive tags from what is written in a picture of `width` x `height` pixels: `{tag: probability}`.

    "document": level lines of text fill much of it. "receipt": one with amounts and their total. "screenshot": a clock
    stands at the top of perfectly level lines, as on a phone.
    """
    if len(texts) < rules.min_lines or width <= 0 or height <= 0:
        return {}
    corners = np.array([text.corners for text in texts], np.float32)
    along = corners[:, 1] - corners[:, 0]
    lengths = np.linalg.norm(along, axis=1)
    heights = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
    area = float(width * height)
    share = float((lengths * heights).sum()) / area
    extent = float(np.prod(corners.reshape(-1, 2).max(axis=0) - corners.reshape(-1, 2).min(axis=0))) / area
    level = _level_share(along, lengths)
    if share < rules.min_share or extent < rules.min_extent or level < rules.min_level:
        return {}
    read = float(np.average([text.text_score for text in texts], weights=np.maximum(lengths, 1e-6)))
    tags = {"document": min(0.95, 0.55 + 2 * share) * read}
    says = [plain(text.text) for text in texts]
    amounts = sum(bool(_AMOUNT.search(one)) for one in says)
    totals, hints = (sum(bool(pattern.search(one)) for one in says) for pattern in (_TOTAL, _TAX))
    if totals and amounts >= rules.min_amounts + 1:
        tags["receipt"] = min(0.95, 0.6 + 0.05 * min(amounts, 4) + 0.1 * min(hints, 2)) * read
    if _has_status_bar(says, corners, along, height):
        tags["screenshot"] = 0.85 * read
    return tags


def with_page_tags(
    seen: Mapping[str, float], page: Mapping[str, float], rules: PageRules = PageRules()
) -> dict[str, float]:
    """Add tags of a page to what the models see, unless they are sure of something that is no paper."""
    if any(score >= rules.sure for tag, score in seen.items() if tag not in _BESIDE):
        return dict(seen)
    return {**seen, **{tag: max(score, seen.get(tag, 0.0)) for tag, score in page.items()}}


def page_tag(label: str) -> str | None:
    """Find the tag of a page that a label asks for."""
    asked = " ".join(plain(label).split())
    return next((tag for tag, words in PAGE_WORDS.items() if asked == tag or asked in words), None)


def _level_share(along: Vectors, lengths: Vectors) -> float:
    """Share of the writing, by length, that runs within 10 degrees of most of it."""
    angles = np.arctan2(along[:, 1], along[:, 0])
    heaviest = angles[int(np.argmax(lengths))]
    near = np.abs(np.angle(np.exp(1j * (angles - heaviest)))) <= np.radians(10)
    return float(lengths[near].sum() / max(float(lengths.sum()), 1e-6))


def _has_status_bar(says: Sequence[str], corners: Vectors, along: Vectors, height: int) -> bool:
    """Tell whether a clock or a charge stands in the uppermost row, and all lines are level to half a degree."""
    middles = corners[:, :, 1].mean(axis=1)
    top = float(middles.min())
    if top > 0.06 * height:
        return False
    long = np.linalg.norm(along, axis=1) > 60
    slopes = np.abs(np.degrees(np.arctan2(along[long, 1], along[long, 0])))
    if not long.any() or float(np.median(slopes)) > 0.5 or float(slopes.max()) > 2:
        return False
    size = float(np.median(corners[:, 3, 1] - corners[:, 0, 1]))
    first_row = [one for one, middle in zip(says, middles, strict=True) if middle <= top + max(size, 1.0)]
    return any(_CLOCK.search(one) or (len(first_row) > 1 and _PERCENT.search(one)) for one in first_row)
