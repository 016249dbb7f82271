"""Whether directions go with a model, and with the size of its images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.errors import MismatchError
from directrix.models import stored_weights
from directrix.models.fingerprint import STRUCTURE, fits
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import Tensor

# Of what is at a site, by its layout, without the batch's.
_DIMENSIONS = {"channels-first": 3, "channels-last": 2, "vector": 1, "text": 2, "pooled": 1}
IDENTITY = "directrix.models.identity(pipeline)"


def check_model(model: SteerableModel, directions: Iterable[Direction]) -> None:
    """Raises MismatchError where a direction belongs to another model.

    One that knows a structure only fits every model of it; see `directrix.models.fingerprint.fits`.
    """
    fitting: set[str] = set()
    for each in directions:
        if each.model.fingerprint in fitting or fits(each.model.fingerprint, model.denoiser):
            fitting.add(each.model.fingerprint)
            continue
        known = model.identity
        if each.model.fingerprint.startswith(STRUCTURE):
            raise MismatchError(
                f"The direction '{each.name}' fits models of the structure of '{each.model.name}', which "
                f"'{known.name}' is not.",
                "a model with the same parameters, of the same shapes.",
                f"load '{each.model.name}'.",
            )
        # Such weights may be those of the direction's model, but no fingerprint can tell.
        changed = stored_weights.changed(model.denoiser)
        own = f"; or, where it is one and the same, direction.with_(model={IDENTITY})" if changed else ""
        raise MismatchError(
            f"The direction '{each.name}' belongs to the model '{each.model.name}' ({each.model.fingerprint[:8]}), "
            f"not to '{known.name}' ({known.fingerprint[:8]}){', ' + changed if changed else ''}.",
            "a direction that was discovered with this very model.",
            f"load '{each.model.name}', or discover '{each.name}' anew with this model{own}.",
        )


def fitted(name: str, part: Part, h: Tensor) -> Tensor:
    """The tensor of a part, float32 on the CPU, in a shape that can be added to rows of the site's output h.

    name: the direction's. h is (batch, C, H, W), (batch, tokens, C) or (batch, C). Raises MismatchError where the part
    does not fit it.
    """
    site, tensor = part.site, part.tensor
    shape, here = tuple(tensor.shape), tuple(h.shape[1:])
    channels = here[0] if site.layout == "channels-first" else here[-1]
    if channels != site.channels or len(here) != _DIMENSIONS[site.layout]:
        raise MismatchError(
            f"The direction '{name}' has {site.channels} channels, '{site.name}' has {channels}.",
            "a direction of this model and site.",
            "discover it anew.",
        )
    if len(shape) == 2 and shape != here:
        raise MismatchError(
            f"The direction '{name}' was found with {shape[0]} tokens of text; this prompt has {here[0]}.",
            "prompts of the length that it was found with.",
            "that max_sequence_length, or discover it anew with the length that you use.",
        )
    if len(shape) == 3 and site.layout == "channels-last":
        if shape[0] * shape[1] != here[0]:
            raise MismatchError(
                f"The direction '{name}' was found at {shape[0]} x {shape[1]} tokens; these images have {here[0]} at "
                f"'{site.name}'.",
                "images of the size that the direction was found with.",
                "that height and width, direction.resized(rows, columns), or direction.pooled().",
            )
        return tensor.flatten(0, 1)
    if len(shape) == 3 and shape != here:
        size = f"{here[1]} x {here[2]}"
        raise MismatchError(
            f"The direction '{name}' was found at {shape[1]} x {shape[2]} activations; these images have "
            f"{size} at '{site.name}'.",
            "images of the size that the direction was found with.",
            f"that height and width, direction.resized({here[1]}, {here[2]}), or direction.pooled().",
        )
    return tensor[:, None, None] if len(shape) == 1 and site.layout == "channels-first" else tensor


def rows_at_site(rows: Tensor, h: Tensor) -> Tensor:
    """What belongs to each row of the denoiser's batch, for each row of the site's output h.

    A video's frames are rows of their own at some sites.

    Raises:
        MismatchError: the site's rows are no multiple of the batch's.
    """
    batch, here = rows.shape[0], h.shape[0]
    if here == batch:
        return rows
    if here % batch == 0:
        return rows.repeat_interleave(here // batch, dim=0)
    raise MismatchError(
        f"The site has {here} rows in a batch of {batch}.", "as many, or as many for each.", "the default site."
    )
