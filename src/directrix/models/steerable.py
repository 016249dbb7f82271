"""One object for the model: a diffusers pipeline, and all that steering and discovery ask of it.

Public functions take a pipeline or a `SteerableModel`; everything below them takes this. What can change between two
calls (the denoiser, the scheduler, the weights) is looked up each time; the fingerprint alone is remembered, until a
weight changes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from directrix.errors import DirectrixError
from directrix.models import model_facts, sites
from directrix.models.identity import ModelIdentity, Site
from directrix.models.model_facts import ModelFacts

if TYPE_CHECKING:
    from torch import nn

# By the pipeline's id, which no other object has while its model lives. A model goes when nobody holds it any more.
_KNOWN: WeakValueDictionary[int, SteerableModel] = WeakValueDictionary()
_ADDING = Lock()


class SteerableModel:
    """A frozen text-to-image model that can be steered.

    Args:
        pipeline: a diffusers pipeline.

    Use `SteerableModel.of`, which gives the same object for the same pipeline. `lock` is for whoever draws with the
    pipeline from several threads.
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.lock = RLock()

    @classmethod
    def of(cls, pipeline: Any) -> SteerableModel:
        """The model of a pipeline, always the same one; a model is returned as it is."""
        if isinstance(pipeline, cls):
            return pipeline
        with _ADDING:
            model = _KNOWN.get(id(pipeline))
            if model is None:
                model = _KNOWN[id(pipeline)] = cls(pipeline)
        return model

    def __repr__(self) -> str:
        return f"SteerableModel({self.name}, {self.identity.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SteerableModel.of, (self.pipeline,)

    @property
    def name(self) -> str:
        """The name of the pipeline's class."""
        return type(self.pipeline).__name__

    @property
    def denoiser(self) -> nn.Module:
        """The network that predicts the noise, never what torch.compile wraps around it; ModelError without one."""
        return sites.denoiser(self.pipeline)

    @property
    def denoisers(self) -> list[nn.Module]:
        """All networks that share the steps, `denoiser` first; ModelError where a direction can't fit them all."""
        return sites.denoisers(self.pipeline)

    @property
    def compiled(self) -> bool:
        """Whether the denoiser or a part of it is compiled, so that graphs which hide hooks may be in use."""
        own = (getattr(self.pipeline, name, None) for name in ("unet", "transformer"))
        if any(hasattr(each, "_orig_mod") for each in own):
            return True
        return any(map(_is_compiled, self.denoiser.modules()))

    @property
    def decoder(self) -> nn.Module | None:
        """What turns latents into an image, where it is a module that runs as it is written."""
        vae = getattr(self.pipeline, "vae", None)
        decoder = getattr(vae, "decoder", None)
        if decoder is None or not hasattr(decoder, "modules") or hasattr(vae, "_orig_mod") or "decode" in vars(vae):
            return None
        return None if any(map(_is_compiled, decoder.modules())) else decoder

    @property
    def identity(self) -> ModelIdentity:
        """Name, revision and fingerprint of the denoiser; ModelError where its weights are not in memory."""
        return ModelIdentity.of(self.denoiser)

    @property
    def scheduler(self) -> Any:
        """The pipeline's scheduler."""
        return self.pipeline.scheduler

    @property
    def facts(self) -> ModelFacts:
        """What is known about the model: from its own configuration, and from its card where there is one.

        Raises:
            ModelError: the pipeline has no denoiser, or its weights are not in memory.
        """
        network, identity = self.denoiser, self.identity
        card = model_facts.cards().get(identity.name, {})
        config: Any = getattr(network, "config", {})
        default = {key: value.default for key, value in self.parameters.items()}
        size = config.get("sample_size") or getattr(self.pipeline, "default_sample_size", None) or 64
        vae = getattr(getattr(self.pipeline, "vae", None), "config", {})
        # An inpainting U-Net takes more channels than the latents have, so the VAE is asked first.
        channels = vae.get("latent_channels") or config.get("in_channels")
        scheduler = getattr(self.scheduler, "config", {})
        return ModelFacts(
            identity=identity,
            prediction_type=scheduler.get("prediction_type") or "flow_prediction",
            latent_shape=model_facts.latent_shape(channels, size),
            guidance_scale=float(card.get("guidance_scale", _number(default.get("guidance_scale"), 7.5))),
            num_inference_steps=int(card.get("num_inference_steps", _number(default.get("num_inference_steps"), 50))),
            learning_rate=card.get("learning_rate"),
            subjects=tuple(card.get("subjects", ())),
            site=card.get("site"),
            arguments=self.accepted(dict(card.get("arguments", {}))),
        )

    @property
    def declares_guidance(self) -> bool:
        """Whether the pipeline says by itself if it guides, or has nothing to say: its guidance is embedded."""
        return hasattr(type(self.pipeline), "do_classifier_free_guidance") or self.embeds_guidance

    @property
    def embeds_guidance(self) -> bool:
        """Whether the guidance scale is an input of the denoiser, as in FLUX [dev] and latent consistency models."""
        config: Any = getattr(self.denoiser, "config", {})
        return bool(config.get("guidance_embeds")) or config.get("time_cond_proj_dim") is not None

    @property
    def reversed_clock(self) -> bool:
        """Whether the denoiser's clock runs from 0 (noise) to 1 (image), and what it predicts points that way too."""
        return self.name.startswith("Lumina")

    @property
    def masked(self) -> bool:
        """Whether the denoiser has input channels for a mask and the masked image, beside the latents."""
        config: Any = getattr(self.denoiser, "config", {})
        channels, given = config.get("in_channels"), config.get("out_channels")
        return "mask_image" in self.parameters and hasattr(self.pipeline, "unet") and channels != given

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The arguments that the pipeline's call takes, by name."""
        return inspect.signature(type(self.pipeline).__call__).parameters

    def accepted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Those of the arguments that the pipeline's call takes."""
        known = self.parameters
        if any(each.kind is each.VAR_KEYWORD for each in known.values()):
            return arguments
        return {name: value for name, value in arguments.items() if name in known}

    def image_size(self, height: int | None, width: int | None) -> dict[str, int | None]:
        """Both sides in pixels where one is given, the other being the model's own; None for both where none is.

        Given one side only, diffusers would silently ignore it. Raises DirectrixError for a side that latents cannot
        have.
        """
        if height is None and width is None:
            return {"height": None, "width": None}
        _, rows, columns = self.facts.latent_shape
        scale = self.pipeline.vae_scale_factor
        found = {"height": height or rows * scale, "width": width or columns * scale}
        for name, side in found.items():
            if side < scale or side % scale:
                near = max(scale, round(side / scale) * scale)
                raise DirectrixError(f"The {name} is {side} pixels.", f"a multiple of {scale}.", f"{near}.")
        return found

    def text_to_image(self) -> SteerableModel:
        """The text-to-image model with the same parts, for one that starts from an image; else itself.

        So a direction for a ControlNet's pipeline is one of the denoiser that the ControlNet stands beside. An
        inpainting network of its own (with channels for the mask) has no such sibling. Nothing of the pipeline is
        changed.
        """
        if not {"image", "control_image"} & self.parameters.keys() or self.masked:
            return self
        with _copied_configs(self.pipeline):
            made = _sibling(self.pipeline)
        sibling = self if made is None or type(made) is type(self.pipeline) else SteerableModel.of(made)
        return sibling if sibling.denoiser is self.denoiser else self

    def find_site(self, name: str | None = None) -> Site:
        """The site of that name, or the default one of the structure; see `sites.find`."""
        return sites.find(self.denoiser, name)

    def sites(self) -> list[Site]:
        """The sites that the model's structure offers; see `sites.listed`."""
        return sites.listed(self.denoiser)

    def module_of(self, site: Site) -> nn.Module:
        """The module whose output is the site; SiteError where there is none."""
        return sites.module_of(self.denoiser, site)

    def head_count(self, site: Site) -> int | None:
        """How many heads an attention's site holds; None for a site that is a module's output."""
        return sites.head_count(self.denoiser, site)

    def spatial_size(self, site: Site, latent_height: int, latent_width: int) -> tuple[int, int]:
        """Height and width of the activations at the site; see `sites.spatial_size`."""
        return sites.spatial_size(self.denoiser, site, latent_height, latent_width)


def facts(pipeline: Any) -> ModelFacts:
    """The facts about a pipeline; see `SteerableModel.facts`."""
    return SteerableModel.of(pipeline).facts


def identity(pipeline: Any) -> ModelIdentity:
    """Name, revision and fingerprint of a pipeline's denoiser, however it was loaded."""
    return SteerableModel.of(pipeline).identity


def image_size(pipeline: Any, height: int | None, width: int | None) -> dict[str, int | None]:
    """Both sides in pixels where one is given; see `SteerableModel.image_size`."""
    return SteerableModel.of(pipeline).image_size(height, width)


def _sibling(pipeline: Any) -> Any:
    """A text-to-image pipeline of the same parts; None where there is none."""
    from diffusers import AutoPipelineForText2Image
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    try:
        return AutoPipelineForText2Image.from_pipe(pipeline, controlnet=None)
    except ValueError:
        # diffusers knows few of them.
        name = re.sub("ControlNet(Union)?|Img2Img|Inpaint(ing)?", "", type(pipeline).__name__)
    for cls in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values():
        if cls.__name__ == name:
            wanted, options = cls._get_signature_keys(cls)
            parts, config = pipeline.components, pipeline.config
            given = {each: parts[each] for each in wanted if each in parts}
            return cls(**given, **{each: config[each] for each in options if each in config})
    return None


@contextmanager
def _copied_configs(pipeline: Any) -> Iterator[None]:
    """Within, the pipeline's parts have copies of their configurations, which some pipelines' constructors correct."""
    given = [(each, each._internal_dict) for each in pipeline.components.values() if hasattr(each, "_internal_dict")]
    try:
        for part, config in given:
            part._internal_dict = type(config)(config)
        yield
    finally:
        for part, config in given:
            part._internal_dict = config


def _is_compiled(module: nn.Module) -> bool:
    return (
        getattr(module, "_compiled_call_impl", None) is not None
        or "_orig_mod" in module._modules
        or hasattr(vars(module).get("forward"), "_torchdynamo_orig_callable")
    )


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
