"""The model card of a direction on the hub: README.md with what the hub reads at its head. Nothing is measured here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from directrix.directions.card import code, markdown, plain, stored, use
from directrix.directions.hub import FILE, PICTURE
from directrix.models.fingerprint import STRUCTURE, shortened

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

TAGS = ("directrix", "diffusers", "text-to-image", "steering", "interpretability")


def hub_card(
    direction: Direction,
    repository: str,
    *,
    picture: bool = False,
    license: str | None = None,
    tags: Sequence[str] = (),
) -> str:
    """The text of README.md: the figures of the direction's card where it has one, else what its file says.

    Args:
        direction: what the repository holds.
        repository: "owner/name".
        picture: whether card.png lies beside it.
        license: as the hub names it, such as "apache-2.0"; None leaves it unsaid.
        tags: beside the usual ones.
    """
    import yaml

    head: dict[str, Any] = {
        "library_name": "directrix",
        "pipeline_tag": "text-to-image",
        "tags": list(dict.fromkeys((*TAGS, *tags))),
    }
    if re.fullmatch(r"[\w.-]+/[\w.-]+", direction.model.name):
        # The name is the direction's own word; a folder's name means nothing on the hub.
        head |= {"base_model": direction.model.name, "base_model_relation": "adapter"}
    if license is not None:
        head["license"] = license
    figures = stored(direction)
    page = (
        _page(direction, repository)
        if figures is None
        else markdown(figures, FILE, PICTURE if picture else "", repository)
    )
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n{page}"


def _page(direction: Direction, repository: str) -> str:
    """The page of a direction that nobody measured."""
    model, strengths = direction.model, direction.strengths
    shape = " x ".join(map(str, direction.tensor.shape))
    size = (
        "fits pictures of the size that it was found with"
        if direction.tensor.ndim == 3
        else "fits pictures of any size"
    )
    fits = "models of the structure of" if model.fingerprint.startswith(STRUCTURE) else "one model:"
    calibrated = "calibration" in direction.provenance
    facts = (
        f"- It works with {fits} {plain(model.name)}, fingerprint {code(shortened(model.fingerprint))}.",
        f"- It is added at {code(direction.site.name)}, has the shape {shape}, and {size}.",
        f"- Strength {strengths.default:g} unless told otherwise; sensible from {strengths.minimum:g} to "
        f"{strengths.maximum:g}{'' if calibrated else ', which nobody measured'}.",
        f"- It was found by the method {code(direction.recipe.get('method', 'unknown'))}.",
    )
    blocks = (
        f"# {plain(direction.name)}: a direction for {plain(model.name)}",
        "\n".join(facts),
        "## Use",
        use(model.name, "a person", FILE, repository),
        "## Limits",
        "Its effect was not measured: `directrix card` draws the same seeds at several strengths, judges them, and "
        "keeps the figures in the file.",
    )
    return "\n\n".join(blocks) + "\n"
