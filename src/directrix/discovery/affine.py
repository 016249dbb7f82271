"""Affine, in closed form and without the denoiser: an attribute set to a value, whatever the prompt says of it.

    h' = h - P(h) + c,    P(h) = sum_k b_k (a_k . h - o_k)

The direction c is that of ``embedding``, and so are its sites. P is a projection onto what the values of the attribute
add (`directions.projection`), oblique in the metric of the covariance S of what prompts give the denoiser: the optimal
affine concept switch, of the family of LEACE (Belrose et al. 2023). Text states are read by their mean over tokens.

A concept has a handful of prompts and text states hundreds of channels, so S must be shrunk towards a multiple of the
identity, (1 - r) S + r tr(S)/D I (Ledoit and Wolf 2004). Which r reads subjects best that it has not seen is found by
leaving out one subject at a time; at r = 1 the projection is orthogonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from directrix.checks import fraction
from directrix.directions.part import Part
from directrix.directions.projection import Projection
from directrix.discovery.embedding import Embedding, Encoded
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept, PromptPair
    from directrix.discovery.embedding import TextInput
    from directrix.discovery.frozen_denoiser import FrozenDenoiser

SHRINKAGES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
# Values that differ by less than this share of the greatest difference span no dimension of their own.
NOTHING = 1e-3


@dataclass(frozen=True)
class Affine(Embedding):
    """Options of the method.

    keep_norm: whether each token of text and each pooled embedding gets back the norm that it had.
    shrinkage: r, in [0, 1]; None for the one that reads left-out subjects best.
    """

    name: ClassVar = "affine"
    objective: ClassVar = "h' = h - P(h) + c, c = E [ e(y+) - e(y-) ]"
    keep_norm: bool = False
    shrinkage: float | None = None

    def __post_init__(self) -> None:
        if self.shrinkage is not None:
            object.__setattr__(self, "shrinkage", fraction("shrinkage", self.shrinkage))

    def parts(
        self,
        denoiser: FrozenDenoiser,
        concepts: Sequence[Concept],
        guidance_scale: float,
        orthogonalized: Callable[[Tensor], Tensor],
        preserved: int = 0,
        progress: Progress = silent,
    ) -> tuple[list[list[Part]], Mapping[str, Any]]:
        """Those of ``embedding``, each with the projection of its site; and the shrinkage at each site."""
        encoded = Encoded(denoiser, concepts, guidance_scale, orthogonalized, progress)
        found: list[list[Part]] = [[] for _ in concepts]
        used = {}
        for path, each in encoded.inputs.items():
            vectors = encoded.vectors(path)
            statistics = _Statistics.of(encoded, path, len(concepts) - preserved, denoiser.subjects)
            basis = spanned(vectors[: len(concepts) - preserved].flatten(1).double())
            shrinkage = statistics.best(basis) if self.shrinkage is None else self.shrinkage
            used[each.site.name] = shrinkage
            covectors = oblique(basis, statistics.all, shrinkage)
            projection = _spread(each, basis, covectors, covectors @ statistics.middle, self.keep_norm)
            for place, vector in enumerate(vectors):
                found[place].append(Part(each.site, each.spread(vector), projection=projection))
        return found, {"shrinkage_used": used}


@dataclass(frozen=True)
class _Statistics:
    """What prompts give the denoiser at one site, float64 rows of D.

    all: of every prompt of every concept. middle: the mean of prompts that say nothing of the concepts that are looked
    for. neutral, targets: of each pair, a row for each of these concepts, the first pairs of all of them first. pairs:
    how many each concept has.
    """

    all: Tensor
    middle: Tensor
    neutral: Tensor
    targets: Tensor
    pairs: int

    @classmethod
    def of(cls, encoded: Encoded, path: tuple[str, ...], wanted: int, subjects: Sequence[str]) -> _Statistics:
        """Of the first concepts, ``wanted`` of them; those that are preserved count for the covariance alone."""

        def rows(prompts: Sequence[str]) -> Tensor:
            return torch.stack([encoded.pooled(path, each).flatten() for each in prompts]).double()

        said = dict.fromkeys(
            text for each in encoded.concepts for pair in each.pairs for text in (pair.neutral, _shown(pair))
        )
        # What one subject reads as neutral, others do not. A card's subject can be the very concept, such as "a pilot".
        showing = {_shown(pair) for each in encoded.concepts[:wanted] for pair in each.pairs}
        neutral = (text for each in encoded.concepts[:wanted] for text in each.neutral_prompts(subjects))
        silent = dict.fromkeys(text for text in neutral if text not in showing)
        pairs = min(len(each.pairs) for each in encoded.concepts[:wanted])
        listed = [each.pairs[number] for number in range(pairs) for each in encoded.concepts[:wanted]]
        prompts = (list(said | silent), [each.neutral for each in listed], [_shown(each) for each in listed])
        everything, without, targets = map(rows, prompts)
        return cls(
            everything, rows(list(silent)).mean(dim=0) if silent else without.mean(dim=0), without, targets, pairs
        )

    def best(self, basis: Tensor) -> float:
        """The shrinkage that reads the prompts of left-out pairs best; 1 where there are too few pairs to say."""
        if self.pairs < 3:
            return 1.0
        return min(reversed(SHRINKAGES), key=lambda each: self._error(basis, each))

    def _error(self, basis: Tensor, shrinkage: float) -> float:
        """The mean squared error of what is read of left-out pairs, in units of what the concepts add."""
        number = torch.arange(len(self.targets)) // (len(self.targets) // self.pairs)
        values = torch.arange(len(self.targets)) % (len(self.targets) // self.pairs)
        errors, sizes = [], []
        for out in range(self.pairs):
            rest = number != out
            covectors = oblique(basis, torch.cat([self.neutral[rest], self.targets[rest]]), shrinkage)
            middle = self.neutral[rest].mean(dim=0)
            said = (self.targets[rest] - self.neutral[rest]) @ covectors.T
            levels = torch.stack([said[values[rest] == each].mean(dim=0) for each in range(int(values.max()) + 1)])
            errors += [
                (self.targets[~rest] - middle) @ covectors.T - levels[values[~rest]],
                (self.neutral[~rest] - middle) @ covectors.T,
            ]
            sizes.append(levels)
        return float(torch.cat(errors).square().mean() / torch.cat(sizes).square().mean().clamp_min(1e-12))


def _shown(pair: PromptPair) -> str:
    """The prompt that has the concept."""
    return pair.target if pair.negative is None else pair.negative


def spanned(vectors: Tensor) -> Tensor:
    """An orthonormal basis of what vectors (n, D) span: (k, D), k at least 1."""
    _, sizes, basis = torch.linalg.svd(vectors, full_matrices=False)
    return basis[: max(1, int((sizes > NOTHING * sizes[0]).sum()))]


def oblique(basis: Tensor, rows: Tensor, shrinkage: float) -> Tensor:
    """The covectors (B S^-1 B')^-1 B S^-1 of a basis B (k, D), S the shrunk covariance of rows (n, D): (k, D).

    In float64. Rows that are all the same, and a shrinkage of 1, give B itself; a shrinkage of 0 the pseudo-inverse.
    """
    centred = rows - rows.mean(dim=0)
    spread = float(centred.square().sum()) / len(rows)
    if not spread or shrinkage >= 1:
        return torch.linalg.pinv(basis @ basis.T, hermitian=True) @ basis
    # Woodbury: as large as there are prompts, not channels.
    ridge = max(shrinkage, 1e-9) * spread / rows.shape[1]
    gram = centred @ centred.T + len(rows) * ridge / (1 - shrinkage) * torch.eye(len(rows), dtype=rows.dtype)
    inverse = (basis - (basis @ centred.T) @ torch.linalg.solve(gram, centred)) / ridge
    return torch.linalg.solve(inverse @ basis.T, inverse)


def _spread(each: TextInput, basis: Tensor, covectors: Tensor, offsets: Tensor, keep_norm: bool) -> Projection:
    """As a part's tensor is laid out: each token gets its segment's vector, and counts for its part of the mean."""
    shape = (len(basis), len(each.sizes), -1)
    return Projection(
        torch.stack([each.spread(row) for row in basis.reshape(shape).float()]),
        torch.stack([each.spread(row / each.sizes[:, None]) for row in covectors.reshape(shape).float()]),
        tuple(offsets.tolist()),
        keep_norm,
    )
