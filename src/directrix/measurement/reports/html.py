"""What all pages share: one HTML file with its style and pictures inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def document(title: str, body: str) -> str:
    """Return a whole page of that title, which is escaped, and that body, which is not."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # An empty icon keeps the browser from asking a server for one.
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return a list of words, each with a swatch of a colour that the style names, such as "--before"."""
    items = "".join(f'<li style="--swatch:var({colour})">{escape(word)}</li>' for word, colour in entries)
    return f'<ul class="legend">{items}</ul>'


def data_uri(image: Image) -> str:
    """Return a picture as the address of itself, PNG."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
