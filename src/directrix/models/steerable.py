"""One object for the model: a diffusers pipeline, looked at once.

Public functions take a pipeline or a `SteerableModel`; everything below them takes this.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from directrix import models
from directrix.models import families, sites
from directrix.models.identity import ModelIdentity, Site

if TYPE_CHECKING:
    from torch import nn

    from directrix.models import ModelFacts

_KNOWN: WeakKeyDictionary[Any, SteerableModel] = WeakKeyDictionary()


class SteerableModel:
    """A frozen text-to-image model that can be steered.

    Args:
        pipeline: a diffusers pipeline.

    Raises:
        ModelError: the pipeline has no denoiser.
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.lock = RLock()

    @classmethod
    def of(cls, pipeline: Any) -> SteerableModel:
        """The model of a pipeline, always the same one; a model is returned as it is."""
        if isinstance(pipeline, cls):
            return pipeline
        if pipeline not in _KNOWN:
            _KNOWN[pipeline] = cls(pipeline)
        return _KNOWN[pipeline]

    def __repr__(self) -> str:
        return f"SteerableModel({type(self.pipeline).__name__}, {self.identity.name!r})"

    @property
    def denoiser(self) -> nn.Module:
        """The network that predicts the noise."""
        return sites.denoiser(self.pipeline)

    @property
    def identity(self) -> ModelIdentity:
        """Name, revision and fingerprint of the denoiser."""
        return models.identity(self.pipeline)

    @property
    def facts(self) -> ModelFacts:
        """What is known about the model: prediction type, latent shape, its own steps and guidance scale, ..."""
        return models.facts(self.pipeline)

    @property
    def guidance_layout(self) -> families.Layout:
        """Where the branches of classifier-free guidance are."""
        return families.guidance_layout(self.pipeline)

    @property
    def scheduler(self) -> Any:
        """The pipeline's scheduler."""
        return self.pipeline.scheduler

    def find_site(self, name: str | None = None) -> Site:
        """The site of that name, or the default one; SiteError where there is none."""
        return sites.find(self.pipeline, name)

    def sites(self) -> list[Site]:
        """The sites that the model's structure offers."""
        return sites.listed(self.pipeline)

    def module_of(self, site: Site) -> nn.Module:
        """The module whose output is the site."""
        return sites.module_of(self.pipeline, site)

    def spatial_size(self, site: Site, latent_height: int, latent_width: int) -> tuple[int, int]:
        """Height and width of the activations at the site."""
        return sites.spatial_size(self.pipeline, site, latent_height, latent_width)

    def image_size(self, height: int | None, width: int | None) -> dict[str, int | None]:
        """Both sides in pixels where one is given; None for both where none is."""
        return models.image_size(self.pipeline, height, width)

    def accepted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Those of the arguments that the pipeline's call takes."""
        return families.accepted(self.pipeline, arguments)

    def text_to_image(self) -> SteerableModel:
        """The text-to-image model with the same parts, for one that starts from an image; else itself."""
        return SteerableModel.of(families.text_to_image(self.pipeline))
