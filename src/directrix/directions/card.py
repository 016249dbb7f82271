"""A direction's card as a page, for a repository, the hub or a notebook. Nothing is measured here."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.checks import validated
from directrix.deprecation import upgraded
from directrix.directions.card_file import Calibration, Card
from directrix.directions.header import Header
from directrix.directions.hub import FILE, PICTURE
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectionFileError, DirectrixError
from directrix.models.fingerprint import STRUCTURE, shortened

if TYPE_CHECKING:
    from jinja2 import Environment
    from pydantic import BaseModel

LOG = logging.getLogger(__name__)
# Labels of an attribute that are listed by name; the others change less.
LISTED = 5
FORMAT = 1
TAGS = ("directrix", "diffusers", "text-to-image", "steering", "interpretability")


def stored(header: Header) -> Mapping[str, Any] | None:
    """The card that a direction carries, with all that it may leave out; None where there is none, or where it is that
    of another tensor."""
    card = header.provenance.get("card")
    if not isinstance(card, Mapping) or card.get("format") != FORMAT or card.get("digest") != header.digest:
        return None
    return _read(Card, card, f"The card of '{header.name}'")


def calibration(header: Header) -> Mapping[str, Any] | None:
    """What a judge saw when the direction was calibrated, by rising strength; None where it was not."""
    found = header.provenance.get("calibration")
    read = _read(Calibration, found, f"The calibration of '{header.name}'") if isinstance(found, Mapping) else None
    return read and {**read, "strengths": sorted(read["strengths"], key=lambda row: row["strength"])}


def _read(model: type[BaseModel], content: Mapping[str, Any], place: str) -> dict[str, Any] | None:
    """The content under today's names, with what it leaves out as the model has it; None, with a note, if damaged."""
    content = renewed(content)
    try:
        # Recipes of sums nest deeper than pydantic writes; pages ask for each part of theirs.
        read = validated(model, content, place, DirectionFileError).model_dump(exclude={"recipe"})
    except DirectrixError as error:
        LOG.warning("%s It is left out.", error)
        return None
    except ValueError:
        LOG.warning("%s nests deeper than a card does. It is left out.", place)
        return None
    return read | {key: content[key] for key in ("recipe",) if key in content}


def renewed(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card with its keys by their new names, whenever it was written."""
    named = upgraded(card, {"aim": "target_label"})
    if isinstance(listed := card.get("strengths"), list):
        names = {"kept": "subject_retained"}
        named["strengths"] = [upgraded(row, names) if isinstance(row, Mapping) else row for row in listed]
    return named


def markdown(
    card: Mapping[str, Any], file: str | None = None, picture: str | None = None, repository: str | None = None
) -> str:
    """The page of a card, the figures of `directrix.measurement.reports.direction_card.measure`.

    Args:
        file, picture: of the direction, relative to the page; None for its own name, an empty picture for none.
        repository: "owner/name", where the page is for the hub.
    """
    card = renewed(card)
    at = {row["strength"]: row for row in card["strengths"]}
    leakage = [
        (attribute, sorted(labels.items(), key=lambda each: (-abs(each[1]["value"]), each[0])))
        for attribute, labels in card["leakage"].items()
        if labels
    ]
    return render(
        "card.md.jinja",
        card=card,
        sentence=sentence(card, plain),
        target_label=TargetLabel(**card["target_label"]),
        unsteered=at[0.0],
        steered=at[1.0],
        leakage=leakage,
        listed=LISTED,
        file=file or f"{card['name']}.safetensors",
        picture=f"{card['name']}.png" if picture is None else picture,
        repository=repository,
    )


def hub_card(
    header: Header, repository: str, *, picture: bool = False, license: str | None = None, tags: Sequence[str] = ()
) -> str:
    """The text of README.md on the hub, with what it reads at the head: the figures of the card, else the header.

    repository: "owner/name". picture: whether card.png lies beside it. license: as the hub names it, such as
    "apache-2.0"; None leaves it unsaid. tags: beside the usual ones.
    """
    import yaml

    named = list(dict.fromkeys((*TAGS, *tags)))
    head: dict[str, Any] = {"library_name": "directrix", "pipeline_tag": "text-to-image", "tags": named}
    if re.fullmatch(r"[\w.-]+/[\w.-]+", header.model.name):
        # The name is the direction's own word; a folder's name means nothing on the hub.
        head |= {"base_model": header.model.name, "base_model_relation": "adapter"}
    if license is not None:
        head["license"] = license
    figures = stored(header)
    page = figures and markdown(figures, FILE, PICTURE if picture else "", repository)
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    values = {"header": header, "calibrated": calibration(header) is not None, "repository": repository}
    return render("hub_card.md.jinja", head=written, page=page, **values)


def html(header: Header) -> str:
    """A direction as a table, for a notebook."""
    card = stored(header)
    return render("direction.html.jinja", header=header, card=card, sentence=card and sentence(card))


def sentence(card: Mapping[str, Any], escaped: Callable[[Any], str] = str) -> str:
    """What the direction does at strength 1.0, in one sentence; `escaped` makes text of the target label."""
    card = renewed(card)
    at = {row["strength"]: row for row in card["strengths"]}
    text = (
        f"At strength 1.0, {_share(at[1.0]['effect'])} of the pictures show what is aimed at "
        f"({escaped(TargetLabel(**card['target_label']))}), against {_share(at[0.0]['effect'])} unsteered"
    )
    retained = at[1.0].get("subject_retained")
    return f"{text}, and {_share(retained)} keep their subject." if retained else f"{text}."


def render(template: str, folder: Path = Path(__file__).parent, **values: Any) -> str:
    """The text of a template; what goes into one of HTML is escaped, for Markdown its filters do it.

    Filters: `plain` and `code` for text, `quoted` for Python, `shell`; `share`, `points` and `spent` for figures.
    """
    pages = _templates(folder, template.endswith(".html.jinja"))
    return pages.get_template(template).render(**values, structure=STRUCTURE)


@cache
def _templates(folder: Path, escaping: bool) -> Environment:
    """The templates of a folder, each of which is compiled once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(folder),
        autoescape=escaping,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    pages.filters |= {"plain": plain, "code": code, "quoted": partial(json.dumps, ensure_ascii=False)}
    pages.filters |= {"shell": shlex.quote, "shortened": shortened}
    pages.filters |= {"share": _share, "points": _points, "spent": _spent}
    return pages


def plain(text: Any) -> str:
    """Text that Markdown leaves as it is, on one line."""
    words = " ".join(str(text).split())
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|" else each for each in words)


def code(text: Any) -> str:
    """Text as code in Markdown, on one line."""
    words = " ".join(str(text).split())
    # A fence longer than any in the text, which a space parts from one at its ends.
    longest = max(map(len, re.findall("`+", words)), default=0)
    return f"{'`' * (longest + 1)} {words} {'`' * (longest + 1)}" if longest else f"`{words}`"


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
