"""Embedding, in closed form: what a concept's words change in what the denoiser is given.

    c = E_pairs [ e(y+) - e(y-) ],    e: text states, and where there is one, the pooled text embedding

This is the difference of text embeddings (embedding arithmetic), as a direction: it has a strength, a sign and a window
of steps, and holds for prompts that never name the concept. Every level of the denoiser reads these inputs, so nothing
puts back what was changed at one of them. No image is drawn: a concept costs a text encoder's milliseconds, and a few
evaluations of the denoiser where an attribute is preserved (`discovery.leakage`), or values of one are contrasted
(`discovery.word_reach`, `discovery.word_tokens`, `discovery.opposed`).

Text states have a row for each token. Tokens that no prompt changes (the first one of CLIP, the zeros that stand for a
missing encoder) stay as they are; all others get the same vector, the mean over tokens, since the same place holds
other words in other prompts (but see `discovery.word_tokens`). Where two encoders fill the tokens, as in Stable
Diffusion 3, each has its own vector.

A negative prompt n acts on the unconditional branch of guidance; as in ``difference``, its effect is folded into the
conditional branch: (1 - 1/w) (e("") - e(n)) is added, with w the guidance scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from directrix.directions.part import Part
from directrix.discovery.problem import Defaults, Fit, Method, Problem
from directrix.errors import ModelError
from directrix.models import text_inputs
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept
    from directrix.discovery.conditioning import Path
    from directrix.discovery.frozen_denoiser import FrozenDenoiser
    from directrix.models.identity import Site


@dataclass(frozen=True)
class Embedding(Method):
    """It has no options."""

    name: ClassVar = "embedding"
    learns_from: ClassVar = "prompts"
    defaults: ClassVar = Defaults(images=0, steps=0, batch_size=1)
    objective: ClassVar = "c = E [ e(y+) - e(y-) ]"

    def fit(self, problem: Problem) -> Fit:
        """Refuses: nothing is fitted; see ``parts``."""
        raise ModelError(f"The method {self.name} fits no vectors.", "its directions at the denoiser's inputs.")

    def parts(
        self,
        denoiser: FrozenDenoiser,
        concepts: Sequence[Concept],
        guidance_scale: float,
        orthogonalized: Callable[[Tensor], Tensor],
        preserved: int = 0,
        progress: Progress = silent,
    ) -> tuple[list[list[Part]], Mapping[str, Any]]:
        """For each concept what it adds at each of the denoiser's inputs about the prompt; and more for the recipe.

        Args:
            orthogonalized: takes vectors (K, C, 1, 1) of all concepts at one site apart.
            preserved: how many of the last concepts are only there to be left alone.

        Raises:
            ModelError: the denoiser is given nothing that follows the prompt.
        """
        encoded = Encoded(denoiser, concepts, guidance_scale, orthogonalized, progress)
        found: list[list[Part]] = [[] for _ in concepts]
        for path, each in encoded.inputs.items():
            for place, vector in enumerate(encoded.vectors(path)):
                found[place].append(Part(each.site, each.spread(vector)))
        return found, {}


@dataclass(frozen=True)
class TextInput:
    """One of the denoiser's inputs about the prompt.

    site: where it is.
    segments: int64 (tokens,), which of the vectors each token gets, -1 for none; None where each gets the one there is.
    """

    site: Site
    segments: Tensor | None

    @property
    def sizes(self) -> Tensor:
        """How many tokens are pooled to each segment, float32 (segments,); 1 where there are no tokens to name."""
        if self.segments is None:
            return torch.ones(1)
        return self.segments[self.segments >= 0].bincount().float()

    def pooled(self, value: Tensor) -> Tensor:
        """The mean of a value (tokens, C) over each segment, (segments, C); of a pooled one itself, (1, C)."""
        if self.segments is None:
            return value.mean(dim=0, keepdim=True) if value.ndim == 2 else value[None]
        return torch.stack([value[self.segments == each].mean(dim=0) for each in range(int(self.segments.max()) + 1)])

    def spread(self, vectors: Tensor) -> Tensor:
        """Vectors (segments, C) as a direction's tensor, (tokens, C) or (C,)."""
        if self.segments is None:
            return vectors[0]
        return torch.cat([vectors, torch.zeros_like(vectors[:1])])[self.segments]


class Encoded:
    """What the denoiser is given about the prompts of concepts.

    concepts: these; inputs: those of its inputs that follow the prompt.

    Raises:
        ModelError: the denoiser is given nothing that follows the prompt.
    """

    def __init__(
        self,
        denoiser: FrozenDenoiser,
        concepts: Sequence[Concept],
        guidance_scale: float,
        orthogonalized: Callable[[Tensor], Tensor],
        progress: Progress = silent,
    ) -> None:
        self.concepts = concepts
        self._denoiser, self._apart = denoiser, orthogonalized
        self._folded = 1 - 1 / guidance_scale if guidance_scale else 0.0
        pairs = [pair for concept in concepts for pair in concept.pairs]
        rows = [self._denoiser.text("")]
        with progress(2 * len(pairs), "Encoding prompts") as bar:
            for prompt in (text for pair in pairs for text in (pair.neutral, pair.target)):
                rows.append(self._denoiser.text(prompt))
                bar.advance(1)
        joint = denoiser.text_joint
        found = {path: _input(path, [row[path] for row in rows], joint) for path in rows[0]}
        self.inputs = {path: each for path, each in found.items() if each is not None}
        if not self.inputs:
            raise ModelError(
                "The denoiser is given no tensor that differs between these prompts.",
                "a text-to-image model, and prompts of which the text encoders tell one from another.",
                "method='difference', which looks inside the denoiser.",
            )

    def pooled(self, path: Path, prompt: str) -> Tensor:
        """An input under a prompt, pooled over its tokens: (segments, C)."""
        return self.inputs[path].pooled(self._denoiser.text(prompt)[path])

    def vectors(self, path: Path) -> Tensor:
        """What the concepts add to an input, taken apart: (concepts, segments, C)."""
        vectors = []
        for concept in self.concepts:
            total = []
            for pair in concept.pairs:
                change = self.pooled(path, pair.target) - self.pooled(path, pair.neutral)
                if pair.negative is not None:
                    change = change + self._folded * (self.pooled(path, "") - self.pooled(path, pair.negative))
                total.append(change)
            vectors.append(torch.stack(total).mean(dim=0))
        stacked = torch.stack(vectors)
        return self._apart(stacked.flatten(1)[:, :, None, None]).reshape(stacked.shape)


def _input(path: Path, values: Sequence[Tensor], joint: int | None) -> TextInput | None:
    """The input at a path, from its values (tokens, C) or (C,) for some prompts; None for one that never differs.

    joint: at which token another encoder's begin; None where there is one encoder.
    """
    site = text_inputs.site(".".join(path), values[0][None])
    if len({each.shape for each in values}) > 1:
        # As long as the prompt: all tokens alike.
        return TextInput(site, None)
    differs = torch.stack([each != values[0] for each in values]).any(dim=0)
    if not bool(differs.any()):
        return None
    if values[0].ndim == 1:
        return TextInput(site, None)
    places = torch.arange(len(values[0]))
    encoder = torch.zeros_like(places) if joint is None else (places >= joint).long()
    kinds, segments = torch.where(differs.any(dim=1), encoder, -1).unique(return_inverse=True)
    return TextInput(site, None if len(kinds) == 1 else segments - int(kinds[0] == -1))
