"""Models: loading a pipeline by name, and the facts about it that steering and discovery need."""

from directrix.models.embedded import EMBEDDED
from directrix.models.fingerprint import fingerprint
from directrix.models.identity import ModelIdentity
from directrix.models.loading import load
from directrix.models.model_facts import ModelFacts, cards
from directrix.models.sites import denoiser
from directrix.models.steerable import SteerableModel, facts, identity, image_size

__all__ = [
    "EMBEDDED",
    "ModelFacts",
    "ModelIdentity",
    "SteerableModel",
    "cards",
    "denoiser",
    "facts",
    "fingerprint",
    "identity",
    "image_size",
    "load",
]
