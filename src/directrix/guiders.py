"""Directions in diffusers' modular pipelines, by a guider of theirs.

from directrix.guiders import Steered

pipeline.update_components(guider=Steered({woman: 1.0}, pipeline.guider))
"""

from directrix.errors import DirectrixError

try:
    from directrix.interventions.guider import Steered as Steered
except ImportError as error:
    raise DirectrixError(
        f"diffusers' guiders cannot be imported: {error}.", "diffusers 0.36 or newer.", "pip install -U diffusers."
    ) from error

__all__ = ["Steered"]
