"""Tables of what denoisers of true size cost, and of which batches fit on which card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CARDS_GB = (8, 12, 24)
# What a card's driver, its context and split-up free memory leave of it.
USABLE = 0.9
LARGEST_BATCH = 64
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_STEPS = (
    ("steered_step", "steered step"),
    ("discovery_step", "discovery step"),
    ("checkpointed_step", "discovery step, gradient checkpointing"),
)


def full_size_table(figures: Mapping[str, Any]) -> list[str]:
    """Return a row for each step of each configuration of `directrix bench model --json`."""
    lines = [
        "| configuration | step | seconds | times a plain forward | MB at the peak | times a plain forward's | "
        "beyond the weights, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in figures["configs"].items():
        plain = row["plain_step"]
        title = f"{name}, {row['dtype']}, {_where(row)}"
        lines.append(f"| {title} | plain forward | {_seconds(plain)} | | {_mb(plain)} | | {_beyond(plain)} |")
        for key, step in _STEPS:
            ratio = row["ratio"][key]
            times = "{value:.3f} [{low:.3f}, {high:.3f}]".format(**ratio["seconds"])
            lines.append(
                f"| {title} | {step} | {_seconds(row[key])} | {times} | {_mb(row[key])} | "
                f"{ratio['memory']:.3f} | {_beyond(row[key])} |"
            )
    return lines


def plan_table(figures: Mapping[str, Any]) -> list[str]:
    """Return the largest batch of a discovery step that fits on each card, in half precision."""
    cards = " | ".join(f"batch on {card} GB" for card in CARDS_GB)
    lines = [
        f"| configuration, half precision | weights, MB | each picture of the batch, MB | {cards} |",
        "|---|---|---|" + "---|" * len(CARDS_GB),
    ]
    for name, row in figures["configs"].items():
        half = 2 / _BYTES[row["dtype"]]
        weights = row["weights_mb"] * half
        for key, note in (("discovery_step", ""), ("checkpointed_step", ", checkpointed")):
            each = row[key]["activations_mb"] * half
            batches = " | ".join(_batch(card, weights, each) for card in CARDS_GB)
            lines.append(f"| {name}{note} | {weights:,.0f} | {each:,.0f} | {batches} |")
    return lines


def _batch(card: int, weights: float, each: float) -> str:
    fitting = int((card * 1024 * USABLE - weights) / each)
    if fitting < 1:
        return "no"
    return f"{LARGEST_BATCH} and more" if fitting >= LARGEST_BATCH else str(fitting)


def _where(row: Mapping[str, Any]) -> str:
    if row["device"] != "cpu":
        return str(row["device"])
    return f"{row['threads']} {'thread' if row['threads'] == 1 else 'threads'}"


def _seconds(step: Mapping[str, Any]) -> str:
    # A GPU's are hundredths.
    return f"{step['seconds']:.2f}" if step["seconds"] >= 1 else f"{step['seconds']:.4f}"


def _mb(step: Mapping[str, Any]) -> str:
    return f"{step['memory_mb']:,.0f}"


def _beyond(step: Mapping[str, Any]) -> str:
    return f"{step['activations_mb']:,.0f}"
