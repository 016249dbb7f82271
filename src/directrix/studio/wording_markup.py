"""How the phrase finder reads prompts, with the phrases that it understood marked."""

from __future__ import annotations

from pathlib import Path

from directrix.directions.card import render
from directrix.policies.wording.types import Understanding
from directrix.policies.wording.understand import understand

MOST = 8  # prompts that are read

_SAID = {"balance": "even shares of {}", "absent": "no {}"}


def readings(text: str, asked: bool) -> str:
    """The prompts of a text, one a line, with their phrases marked. asked: whether a policy acts on them."""
    prompts = [line.strip() for line in text.splitlines() if line.strip()][:MOST]
    rows = [_row(understand(each)) for each in prompts]
    found = any(row["marked"] for row in rows)
    return render("wording.html.jinja", Path(__file__).parent, rows=rows, found=found, asked=asked)


def _row(read: Understanding) -> dict[str, object]:
    """The prompt in pieces, each with what it switches on; and the prompt that the model gets."""
    by_place: dict[tuple[int, int], list[str]] = {}
    for each in read.switches:
        by_place.setdefault((each.start, each.end), []).append(_SAID[each.kind].format(each.name))
    pieces, at = [], 0
    for (start, end), said in sorted(by_place.items()):
        if start >= at:
            pieces += [(read.prompt[at:start], ""), (read.prompt[start:end], ", ".join(said))]
            at = end
    pieces.append((read.prompt[at:], ""))
    return {"pieces": pieces, "marked": bool(by_place), "rewritten": read.rewritten, "unknown": read.unknown}
