"""One tiny random pipeline of every family, built from configurations: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import pytest
import torch

from directrix.models import SteerableModel
from unit.models.families import diffusion_transformers as transformers
from unit.models.families import unets
from unit.models.families.parts import is_newest

SMALL = {"height": 16, "width": 16, "max_sequence_length": 16}
PIXART = {**SMALL, "use_resolution_binning": False, "clean_caption": False}
SANA = {"height": 32, "width": 32, "max_sequence_length": 16, "use_resolution_binning": False}


@dataclass(frozen=True)
class Family:
    """A family: its pipeline, what it is called with, and what is known of it.

    guided: whether a drawing has two halves. site, shape: the default site, and a direction's shape there.
    """

    name: str
    build: Callable[[], Any]
    site: str
    shape: tuple[int, ...]
    guided: bool = True
    scale: float = 5.0
    call: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pipeline(self) -> Any:
        """The same one for every test."""
        return built(self.name)

    def draw(self, prompts: list[str], seeds: list[int], pipeline: Any = None, **changes: Any) -> torch.Tensor:
        """Latents, one generator a picture."""
        return (pipeline or self.pipeline)(
            prompts,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            **{"num_inference_steps": 2, "guidance_scale": self.scale, "output_type": "latent", **self.call, **changes},
        ).images


MAP = ("mid_block", (16, 4, 4))
MIDDLE = ("transformer_blocks.1", (16,))
FAMILIES = {
    each.name: each
    for each in (
        Family("sd1", unets.stable_diffusion, *MAP),
        Family("sd2", partial(unets.stable_diffusion, "v_prediction"), *MAP),
        Family("sdxl", unets.stable_diffusion_xl, *MAP),
        Family("turbo", unets.turbo, *MAP, guided=False, scale=0.0),
        Family("lcm", unets.latent_consistency, *MAP, guided=False),
        Family("pixart-alpha", transformers.pixart, *MIDDLE, call=PIXART),
        Family("pixart-sigma", partial(transformers.pixart, "PixArtSigmaPipeline"), *MIDDLE, call=PIXART),
        Family("sd3", transformers.stable_diffusion_3, *MIDDLE, call=SMALL),
        Family("flux-dev", transformers.flux, *MIDDLE, guided=False, call=SMALL),
        Family("flux-schnell", partial(transformers.flux, False), *MIDDLE, guided=False, scale=0.0, call=SMALL),
        Family(
            "flux-true-guidance",
            transformers.flux,
            *MIDDLE,
            call={**SMALL, "true_cfg_scale": 4.0, "negative_prompt": ["", ""]},
        ),
        Family("sana", transformers.sana, *MIDDLE, call={**SANA, "complex_human_instruction": ["Say:"]}),
        Family(
            "lumina-next",
            transformers.lumina_next,
            "layers.1",
            (32,),
            call={"height": 64, "width": 64, "clean_caption": False},
        ),
        Family(
            "lumina-2",
            transformers.lumina_2,
            "layers.1",
            (24,),
            call={"height": 64, "width": 64, "system_prompt": "Say", "max_sequence_length": 40},
        ),
    )
}


@cache
def built(name: str) -> Any:
    """The family's pipeline; the test is skipped where the installed versions lack the family."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            pipeline = FAMILIES[name].build()
        except (AttributeError, ImportError, TypeError) as error:
            import diffusers

            if is_newest():
                raise
            pytest.skip(f"diffusers {diffusers.__version__} cannot build {name}: {error}")
    unknown = FAMILIES[name].call.keys() - SteerableModel.of(pipeline).parameters
    if unknown:
        assert not is_newest(), unknown
        pytest.skip(f"{type(pipeline).__name__} of this version has no {', '.join(sorted(unknown))}")
    return pipeline


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    """Each family in turn."""
    found = FAMILIES[request.param]
    built(found.name)
    return found


@pytest.fixture
def of() -> Callable[[str], Family]:
    """A family by name."""

    def one(name: str) -> Family:
        built(name)
        return FAMILIES[name]

    return one
