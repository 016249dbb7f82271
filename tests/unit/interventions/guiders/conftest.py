"""Tiny modular pipelines beside the classic ones of the same parts, in float64: what differs is no rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from unit.models.families import diffusion_transformers as transformers
from unit.models.families import parts, unets

STEPS = 4
# Old versions of diffusers have no guiders; the newest must.
collect_ignore_glob = [] if parts.is_newest() or find_spec("diffusers.guiders") else ["test_*.py"]


@dataclass(frozen=True)
class Pair:
    """A modular pipeline, and the classic one of the same parts. negative: the negative prompt that both are given."""

    modular: Any
    classic: Any
    output: str = "images"
    negative: str | None = None

    @property
    def denoiser(self) -> Any:
        return getattr(self.classic, "unet", None) or self.classic.transformer

    def draw(self, prompts: Any = "a judge", images: int = 1, scale: float | None = 5.0) -> torch.Tensor:
        """Latents of the modular pipeline; scale: None to leave its guider's as it is."""
        if scale is not None:
            self.modular.guider.guidance_scale = scale
        return self.modular(prompt=prompts, output=self.output, **self._call(prompts, images))

    def draw_classic(self, prompts: Any = "a judge", images: int = 1, scale: float = 5.0) -> torch.Tensor:
        return self.classic(prompts, guidance_scale=scale, **self._call(prompts, images))[0]

    def _call(self, prompts: Any, images: int) -> dict[str, Any]:
        count = images * (1 if isinstance(prompts, str) else len(prompts))
        noise = torch.Generator().manual_seed(0)
        size = {"height": 16, "width": 16, "num_inference_steps": STEPS, "output_type": "latent"}
        return {
            "latents": torch.randn(count, 4, 8, 8, generator=noise, dtype=torch.float64),
            "num_images_per_prompt": images,
            **({} if self.negative is None else {"negative_prompt": self.negative}),
            **size,
        }

    @contextmanager
    def guided_by(self, guider: Any) -> Any:
        """The modular pipeline with another guider."""
        own = self.modular.guider
        self.modular.update_components(guider=guider)
        try:
            yield guider
        finally:
            self.modular.update_components(guider=own)

    def hooks(self) -> list[str]:
        """The denoiser's modules on which anything is left of a hook."""
        return [
            name or "denoiser"
            for name, module in self.denoiser.named_modules()
            if module._forward_hooks
            or module._forward_pre_hooks
            or getattr(getattr(module, "_diffusers_hook", None), "hooks", None)
            # What diffusers' own guiders leave of theirs.
            or ("forward" in vars(module) and not hasattr(module, "_diffusers_hook"))
        ]


def modular(blocks: Any, classic: Any) -> Any:
    """A modular pipeline of these blocks and of the classic one's parts, in float64."""
    pipeline = blocks.init_pipeline()
    shared = [name for name in pipeline.pretrained_component_names if name in classic.components]
    pipeline.update_components(**{name: classic.components[name] for name in shared})
    for each in classic.components.values():
        if isinstance(each, torch.nn.Module):
            each.double()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="session")
def sdxl() -> Pair:
    """SDXL: a U-Net."""
    from diffusers import StableDiffusionXLAutoBlocks

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classic = unets.stable_diffusion_xl()
    return Pair(modular(StableDiffusionXLAutoBlocks(), classic), classic)


@pytest.fixture(scope="session")
def sd3() -> Pair:
    """Stable Diffusion 3: a transformer of two streams."""
    from diffusers.modular_pipelines.stable_diffusion_3 import StableDiffusion3AutoBlocks

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classic = transformers.stable_diffusion_3()
    return Pair(modular(StableDiffusion3AutoBlocks(), classic), classic, negative="")


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Pair:
    """The pair that a test is parametrized with, by name."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def woman(make_direction: Callable[..., Any]) -> Callable[[Pair], Any]:
    """A direction for a pair."""

    def make(pair: Pair, seed: int = 0) -> Any:
        shape = (16, 4, 4) if hasattr(pair.classic, "unet") else (16,)
        return make_direction("woman", seed=seed, shape=shape, of=pair.classic)

    return make


@pytest.fixture
def added_by_hand() -> Callable[..., Any]:
    """Adds a direction in some of the denoiser's calls: with added_by_hand(unet, woman, [1.0], [True, False]): ..."""

    @contextmanager
    def added(denoiser: Any, direction: Any, strengths: Sequence[float], calls: Sequence[bool]) -> Any:
        tensor = torch.stack([each * direction.tensor.double() for each in strengths])[:, None]
        turns = iter(calls)

        def edited(_module: Any, _args: Any, output: Any) -> Any:
            if not next(turns):
                return output
            # Stable Diffusion 3 puts the text out first.
            return (*output[:-1], output[-1] + tensor) if isinstance(output, tuple) else output + tensor

        handle = denoiser.get_submodule(direction.site.name).register_forward_hook(edited)
        try:
            yield
            assert next(turns, None) is None, "fewer calls than were expected"
        finally:
            handle.remove()

    return added
