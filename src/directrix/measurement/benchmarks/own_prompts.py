"""A benchmark of a user's own prompts: who is drawn, by prompt, and what a method leaves as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from directrix.concept import SKIN_TONE, AttributeSet
from directrix.measurement.benchmarks.benchmark import Benchmark
from directrix.measurement.benchmarks.prompts import listed
from directrix.measurement.judges import emoji_vocabulary

ENDINGS = (".csv", ".txt")
# What the emoji judges call it.
_TONE = "tone"


def own_prompts(path: Path, attributes: Sequence[AttributeSet] = (), judge: str = "clip") -> Benchmark:
    """The prompts of a file, one a line or the column "prompt" of a CSV file; figures are by prompt.

    Args:
        path: the file.
        attributes: whose values should have equal shares.
        judge: the one to use; the emoji judges have names of their own for the values.

    Raises:
        BenchmarkError: no such file, or no prompts in it.
    """
    rows = listed(path)
    text = "\n".join(row.prompt for row in rows)
    emoji = judge.startswith("emoji")
    labels: dict[str, Sequence[str]] = {}
    for each in attributes:
        name = _TONE if emoji and each is SKIN_TONE else each.name
        labels[name] = emoji_vocabulary.CATEGORIES[name] if emoji else [concept.name for concept in each.concepts]
    phrases = {
        each.name: {concept.name: [pair.target for pair in concept.pairs] for concept in each.concepts}
        for each in attributes
    }
    return Benchmark(
        name=path.stem,
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
        licence="your own",
        description=f"{len(rows)} prompts of {path.name}.",
        rows=rows,
        measures=("fairness",) if labels else ("preservation",),
        judge=judge,
        held_out_judge="emoji-held-out" if judge == "emoji" else "",
        targets={name: dict.fromkeys(each, 1 / len(each)) for name, each in labels.items()},
        clip={} if emoji else phrases,
    )
