"""A direction's card as Markdown, for a model hub or a repository. Nothing is measured here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from directrix.deprecation import upgraded
from directrix.directions.header import Header
from directrix.directions.target_label import TargetLabel
from directrix.models.fingerprint import STRUCTURE, shortened

# Labels of an attribute that are listed by name; the others change less.
LISTED = 5

FORMAT = 1


def stored(header: Header) -> Mapping[str, Any] | None:
    """The card that a direction carries; None where there is none, or where it is that of another tensor."""
    card = header.provenance.get("card")
    if not isinstance(card, Mapping) or card.get("format") != FORMAT:
        return None
    return card if card.get("digest") == header.digest else None


def markdown(
    card: Mapping[str, Any], file: str | None = None, picture: str | None = None, repository: str | None = None
) -> str:
    """The page of a card (see `directrix.measurement.reports.direction_card.measure`).

    Args:
        card: the figures.
        file: name of the direction's file; None for the direction's own name.
        picture: of its picture, relative to the page; empty for none, None for the direction's own name.
        repository: "owner/name", where the page is for the hub.
    """
    leakage = {
        attribute: sorted(labels.items(), key=lambda each: (-abs(each[1]["value"]), each[0]))
        for attribute, labels in card["leakage"].items()
    }
    return render(
        "card.md.jinja",
        card=upgraded(card, {"aim": "target_label"}) | {"strengths": [_row(each) for each in card["strengths"]]},
        sentence=sentence(card, plain),
        target_label=_target_label(card),
        unsteered=at(card, 0.0),
        steered=at(card, 1.0),
        leakage=[(attribute, ranked) for attribute, ranked in leakage.items() if ranked],
        listed=LISTED,
        file=file or f"{card['name']}.safetensors",
        picture=f"{card['name']}.png" if picture is None else picture,
        repository=repository,
    )


def html(header: Header) -> str:
    """A direction as a table, for a notebook."""
    card = stored(header)
    return render("direction.html.jinja", header=header, card=card, sentence=card and sentence(card))


def sentence(card: Mapping[str, Any], escaped: Callable[[Any], str] = str) -> str:
    """What the direction does at strength 1.0, in one sentence; `escaped` makes text of the target label."""
    unsteered, steered = at(card, 0.0), at(card, 1.0)
    text = (
        f"At strength 1.0, {_share(steered['effect'])} of the pictures show what is aimed at "
        f"({escaped(_target_label(card))}), against {_share(unsteered['effect'])} unsteered"
    )
    retained = steered["subject_retained"]
    return f"{text}, and {_share(retained)} keep their subject." if retained else f"{text}."


def at(card: Mapping[str, Any], strength: float) -> Mapping[str, Any]:
    """The card's figures at a strength that was measured."""
    return _row(next(row for row in card["strengths"] if row["strength"] == strength))


def render(template: str, **values: Any) -> str:
    """The text of a template beside this file; what goes into one of HTML is escaped, for Markdown its filters do it.

    Filters: `plain` and `code` for text, `quoted` for Python, `shell`; `share`, `points` and `spent` for figures.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    pages.filters |= {"plain": plain, "code": code, "quoted": _quoted, "shell": shlex.quote, "shortened": shortened}
    pages.filters |= {"share": _share, "points": _points, "spent": _spent}
    return pages.get_template(template).render(**values, structure=STRUCTURE)


def plain(text: Any) -> str:
    """Text that Markdown leaves as it is, on one line."""
    words = " ".join(str(text).split())
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|" else each for each in words)


def code(text: Any) -> str:
    """Text as code in Markdown, on one line."""
    words = " ".join(str(text).split())
    return f"``{words}``" if "`" in words else f"`{words}`"


def _target_label(card: Mapping[str, Any]) -> TargetLabel:
    return TargetLabel(**upgraded(card, {"aim": "target_label"})["target_label"])


def _row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return upgraded(row, {"kept": "subject_retained"})


def _quoted(text: str) -> str:
    """Text as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _share(figure: Mapping[str, Any]) -> str:
    value, low, high = (f"{100 * figure[key]:.0f}" for key in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _points(figure: Mapping[str, Any]) -> str:
    # No change has no sign.
    value, low, high = (f"{100 * figure[key] + 0.0:+.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]".replace("+0.0", "0.0").replace("-0.0", "0.0")


def _spent(spent: Any) -> str:
    """A number, or numbers by what they were spent on."""
    if isinstance(spent, Mapping):
        parts = [f"{plain(key.replace('_', ' and '))} {value:,g}" for key, value in spent.items()]
        return ", ".join(parts) or "not recorded"
    return "not recorded" if spent is None else f"{spent:,g}"
