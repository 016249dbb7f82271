"""Whether directions go with a pipeline: its model, and the size of its images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from directrix import models
from directrix.directions.direction import Direction
from directrix.errors import MismatchError
from directrix.models import sites
from directrix.models.fingerprint import STRUCTURE, fits

if TYPE_CHECKING:
    from torch import Tensor


def check_model(pipeline: Any, directions: Iterable[Direction]) -> None:
    """Raises MismatchError where a direction belongs to another model than the pipeline's.

    One that knows a structure only fits every model of it; see `directrix.models.fingerprint.fits`.
    """
    checked_already: set[str] = set()
    for each in directions:
        if each.model.fingerprint in checked_already or fits(each.model.fingerprint, sites.denoiser(pipeline)):
            checked_already.add(each.model.fingerprint)
            continue
        model = models.identity(pipeline)
        if each.model.fingerprint.startswith(STRUCTURE):
            raise MismatchError(
                f"The direction '{each.name}' fits models of the structure of '{each.model.name}', which "
                f"'{model.name}' is not.",
                "a model with the same parameters, of the same shapes.",
                f"load '{each.model.name}'.",
            )
        raise MismatchError(
            f"The direction '{each.name}' belongs to the model '{each.model.name}' "
            f"({each.model.fingerprint[:8]}), not to '{model.name}' ({model.fingerprint[:8]}).",
            "a direction that was discovered with this very model.",
            f"load '{each.model.name}', or discover '{each.name}' anew with this model.",
        )


def check_fit(direction: Direction, h: Tensor) -> None:
    """Raises MismatchError where a direction does not fit the site's output h, of shape (batch, ...)."""
    name, site = direction.name, direction.site
    shape, here = tuple(direction.tensor.shape), tuple(h.shape[1:])
    channels = here[0] if site.layout == "channels-first" else here[-1]
    if channels != shape[0]:
        raise MismatchError(
            f"The direction '{name}' has {shape[0]} channels, '{site.name}' has {channels}.",
            "a direction of this model and site.",
            "discover it anew.",
        )
    if len(shape) == 3 and shape != here:
        size = f"{here[1]} x {here[2]}"
        raise MismatchError(
            f"The direction '{name}' was found at {shape[1]} x {shape[2]} activations; these images have "
            f"{size} at '{site.name}'.",
            "images of the size that the direction was found with.",
            f"that height and width, direction.resized({here[1]}, {here[2]}), or direction.pooled().",
        )
