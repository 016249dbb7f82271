"""Directions in diffusers' modular pipelines, by a guider of theirs.

from directrix.guiders import Steered

pipeline.update_components(guider=Steered({woman: 1.0}, pipeline.guider))
"""

from directrix.interventions.guider import Steered as Steered

__all__ = ["Steered"]
