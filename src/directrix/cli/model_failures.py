"""Errors of a model's own code: its settings and weights do not go together, which shows only when it runs."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from directrix.errors import ModelError, first_line

_PACKAGE = Path(__file__).parents[1]


def of_a_model(error: Exception) -> ModelError | None:
    """The error as one sentence, where it arose in diffusers or transformers and nothing of ours was called from there;
    None for any other, which is a fault of ours."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    loaded = (sys.modules.get(name) for name in ("diffusers", "transformers"))
    libraries = [Path(each.__file__).parent for each in loaded if each is not None and each.__file__]
    ours = max((place for place, each in enumerate(files) if each.is_relative_to(_PACKAGE)), default=0)
    if not any(each.is_relative_to(library) for each in files[ours:] for library in libraries):
        return None
    found = ModelError(
        f"The model fails when it runs ({type(error).__name__}: {first_line(error)}).",
        "settings and weights that go together, and room for them in memory.",
        "another model, or `directrix -v` to see where it arose.",
    )
    found.__cause__ = error
    return found
