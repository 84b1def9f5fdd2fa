"""Targets of `make eval`, and its table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

AT_LEAST = {
    ("faces", "bcubed_f"): 0.98,
    ("faces", "pairwise_f"): 0.97,
    ("portraits", "central_face_once"): 0.99,
    ("portraits", "mask_in_head_boxes"): 0.98,
    ("portraits", "found_upright"): 0.99,
    ("portraits", "found_any_roll"): 0.95,
    ("neardup", "pair_precision"): 0.99,
    ("neardup", "recall_easy"): 1.0,
    ("neardup", "recall_medium"): 0.99,
    ("neardup", "recall_hard"): 0.95,
    ("tags", "top5_hit"): 0.90,
    ("tags", "precision"): 0.90,
    ("hard", "verdicts_right"): 1.0,
}
AT_MOST = {
    ("portraits", "landmark_error_mean"): 6.0,
    ("neardup", "scenes_merged"): 0.0,
    ("hard", "answers_5xx"): 0.0,
    ("hard", "analyses_failed"): 0.0,
    ("hard", "processes_lost"): 0.0,
}


def print_table(results: dict[str, Any]) -> int:
    """Print all figures of all sets. -> how many missed their target"""
    table = Table("set", "figure", "value", "target", "", title=f"Labelled pictures, {results['machine']}")
    missed = 0
    for name, figures in results.items():
        if name == "machine":
            continue
        for figure, value in figures.items():
            least, most = AT_LEAST.get((name, figure)), AT_MOST.get((name, figure))
            wanted = f">= {least:g}" if least is not None else f"<= {most:g}" if most is not None else ""
            met = (least is None or value >= least) and (most is None or value <= most)
            missed += not met
            table.add_row(name, figure, f"{value:.4g}", wanted, "" if not wanted else "ok" if met else "MISSED")
    Console().print(table)
    return missed
