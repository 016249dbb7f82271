"""What is particular to a family of models, and cannot be read off its network.

All else follows from structure: what a denoiser is given is recorded while its pipeline draws (see
``discovery.pipeline_calls``), and which tokens are the image's follows from the size of its input (``activations``).
"""

from __future__ import annotations

from typing import Literal

# Where the branches of guidance are: in one batch, in this order, or in two calls, or nowhere.
Layout = Literal["unconditional-conditional", "conditional-unconditional", "two-calls", "none"]

# By the beginning of the pipeline's name; whatever is not here has both branches in one batch, unconditional first.
_LAYOUTS: dict[str, Layout] = {
    "Lumina2": "two-calls",
    "LuminaText2Img": "conditional-unconditional",
    "Lumina": "conditional-unconditional",
    "Flux": "two-calls",
    "Chroma": "two-calls",
    "QwenImage": "two-calls",
    "CogView4": "two-calls",
    "LatentConsistencyModel": "none",
}
# Their clock runs from 0 (noise) to 1 (image), and what they predict points that way too.
_REVERSED = ("Lumina",)


def layout_of(pipeline_class: str) -> Layout:
    """How pipelines of this class lay out the branches of guidance when they use any."""
    fitting = [start for start in _LAYOUTS if pipeline_class.startswith(start)]
    return _LAYOUTS[max(fitting, key=len)] if fitting else "unconditional-conditional"


def has_reversed_clock(pipeline_class: str) -> bool:
    """Whether denoisers of this class's pipelines are given 1 - t / T in place of t."""
    return pipeline_class.startswith(_REVERSED)
