"""What the denoiser predicts in the first step of a few images, by which directions are measured without a judge.

The first step begins with noise alone, so what it predicts follows the prompt more than any later one, and no image
need be drawn. A prediction that several measures ask for is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.directions.part import Part
    from directrix.discovery.conditioning import Conditioning
    from directrix.discovery.frozen_denoiser import FrozenDenoiser

# Images of which there is noise, each under a prompt pair of its own where there are as many.
STATES = 6


class FirstStep:
    """Predictions for the noise of `STATES` images, which are named by their numbers."""

    def __init__(self, denoiser: FrozenDenoiser, guidance_scale: float) -> None:
        self.denoiser = denoiser
        self._folded = 1 - 1 / guidance_scale if guidance_scale else 0.0
        self._given: dict[str, Conditioning] = {}
        self._predicted: dict[tuple[str, int], Tensor] = {}
        self._movements: dict[tuple[str, tuple[Part, ...], int], Tensor] = {}

    def words(self, concept: Concept, others: Sequence[Concept], number: int) -> Tensor:
        """What changing the words from the other concepts to this one changes:

            f(y+) - mean of f(y+) of the others

        Under a negative prompt n, f(y+) has (1 - 1/w) (f("") - f(n)) added, with w the guidance scale.
        """
        return self._shown(concept, number) - torch.stack([self._shown(each, number) for each in others]).mean(dim=0)

    def movement(self, concept: Concept, parts: Sequence[Part], states: int = STATES) -> list[Tensor]:
        """What parts of the conditional branch at strength 1 change of each image under a concept's neutral prompt."""
        return [self._moved(_pair(concept, number).neutral, tuple(parts), number) for number in range(states)]

    def share(self, concept: Concept, others: Sequence[Concept], moved: Sequence[Tensor]) -> float:
        """How far images are moved of the way that the words do; 0 where these do nothing.

        sum <moved, words> / sum |words|^2
        """
        words = [self.words(concept, others, number) for number in range(len(moved))]
        along = sum(float((one * other).sum()) for one, other in zip(moved, words, strict=True))
        whole = sum(float(each.square().sum()) for each in words)
        return along / whole if whole else 0.0

    def straightness(self, concept: Concept, others: Sequence[Concept], moved: Sequence[Tensor]) -> float:
        """The cosine between how images are moved and how the words move them; 0 where either does nothing."""
        size = sum(float(each.square().sum()) for each in moved) ** 0.5
        words = [self.words(concept, others, number) for number in range(len(moved))]
        whole = sum(float(each.square().sum()) for each in words) ** 0.5
        return self.share(concept, others, moved) * whole / size if size else 0.0

    def along(self, concept: Concept, others: Sequence[Concept], parts: Sequence[Part], states: int = STATES) -> float:
        """How far parts at strength 1 move so many images of the way that the words do; see `share`."""
        return self.share(concept, others, self.movement(concept, parts, states))

    def standing(self, concept: Concept, others: Sequence[Concept], states: int = STATES) -> float:
        """How far the neutral prompt leads from the mean of all these concepts to this one; see `share`."""
        moved = []
        for number in range(states):
            values = [self._shown(each, number) for each in (concept, *others)]
            moved.append(self._under(_pair(concept, number).neutral, number) - torch.stack(values).mean(dim=0))
        return self.share(concept, others, moved)

    def _shown(self, concept: Concept, number: int) -> Tensor:
        pair = _pair(concept, number)
        target = self._under(pair.target, number)
        if pair.negative is None:
            return target
        return target + self._folded * (self._under("", number) - self._under(pair.negative, number))

    @cached_property
    def _states(self) -> tuple[Tensor, Tensor]:
        return self.denoiser.first_states(STATES)

    def _asked(self, prompt: str, number: int) -> tuple[Tensor, Tensor, Conditioning]:
        states, times = self._states
        if prompt not in self._given:
            self._given[prompt] = self.denoiser.encode([prompt])
        return states[number : number + 1], times[number : number + 1], self._given[prompt]

    def _moved(self, prompt: str, parts: tuple[Part, ...], number: int) -> Tensor:
        key = (prompt, parts, number)
        if key not in self._movements:
            added = {tuple(each.site.name.split(".")): each.tensor for each in parts}
            noise, times, given = self._asked(prompt, number)
            rows = {path: row + added[path].to(row) if path in added else row for path, row in given.rows.items()}
            steered = self.denoiser.predict(noise, times, replace(given, rows=rows))
            self._movements[key] = steered - self._under(prompt, number)
        return self._movements[key]

    def _under(self, prompt: str, number: int) -> Tensor:
        key = (prompt, number)
        if key not in self._predicted:
            self._predicted[key] = self.denoiser.predict(*self._asked(prompt, number))
        return self._predicted[key]


def _pair(concept: Concept, number: int) -> PromptPair:
    return concept.pairs[number % len(concept.pairs)]
