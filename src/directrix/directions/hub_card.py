"""The model card of a direction on the hub: README.md with what the hub reads at its head. Nothing is measured here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from directrix.directions.card import markdown, render, stored
from directrix.directions.header import Header
from directrix.directions.hub import FILE, PICTURE

TAGS = ("directrix", "diffusers", "text-to-image", "steering", "interpretability")


def hub_card(
    header: Header, repository: str, *, picture: bool = False, license: str | None = None, tags: Sequence[str] = ()
) -> str:
    """The text of README.md: the figures of the direction's card where it has one, else what its file says.

    Args:
        header: of what the repository holds.
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
    if re.fullmatch(r"[\w.-]+/[\w.-]+", header.model.name):
        # The name is the direction's own word; a folder's name means nothing on the hub.
        head |= {"base_model": header.model.name, "base_model_relation": "adapter"}
    if license is not None:
        head["license"] = license
    figures = stored(header)
    page = figures and markdown(figures, FILE, PICTURE if picture else "", repository)
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return render("hub_card.md.jinja", head=written, page=page, header=header, repository=repository)
