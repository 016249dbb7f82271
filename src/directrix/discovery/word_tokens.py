"""A value's own words, said where prompts have none: at the last tokens of CLIP's text states.

    words = E_pairs [ e(y+) at the n tokens of a value's words - e(y-) at the last n tokens ]
    added to the last n tokens:  K/(K-1) (words - 1/K sum of the other values' words)

of K values; what words have in common stays in part, since without it they are none. A prompt is padded, and a denoiser
finds words wherever they stand. So padding that reads like a value's words says them, and the prompt's own tokens stay
as they are. A mean over tokens (`discovery.embedding`) says less: a word has a place, where other prompts have others.

It is done where it leads straighter the way that changing the words does,

    cosine = <f(c) - f, d> / |f(c) - f| |d|,    with f and d as in `discovery.word_reach`

by `STRAIGHTER` or more. Of the ten default directions of the embedded models that is one, brown skin on emoji-sd3: .66
without and .82 with its words, over two states. On emoji they lead astray. A rule by trial, see docs/methods.md.

The words are what most target prompts say and their neutral prompts do not, the same tokens in all, and as many of each
value. There are none where text states are no padded ones of CLIP: there nobody has measured what they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from directrix.concept import Concept
    from directrix.directions.part import Part
    from directrix.discovery.first_step import FirstStep
    from directrix.discovery.frozen_denoiser import FrozenDenoiser

SITE = "encoder_hidden_states"
# Images whose first step is looked at, and how much straighter it must lead.
STATES = 2
STRAIGHTER = 0.1
# The most of a prompt's room that words are given.
ROOM = 0.25


def words_of(denoiser: FrozenDenoiser, values: Mapping[Concept, Sequence[Part]]) -> dict[Concept, Tensor]:
    """What makes of padding the words of each value less a part of the others', (n, C); nothing unless all have n.

    values: each with its parts, as `embedding` finds them.
    """
    padded = denoiser.padded_tokens or 0
    if len(values) < 2 or not all(any(_is_padded(each, padded) for each in parts) for parts in values.values()):
        return {}
    own = {each: _words(denoiser, each, padded) for each in values}
    found = {each: words for each, words in own.items() if words is not None}
    if len(found) < len(values) or len({len(words) for words in found.values()}) > 1:
        return {}
    count, total = len(values), sum(found.values())
    return {each: count / (count - 1) * (words - (total - words) / count) for each, words in found.items()}


def with_words(
    first: FirstStep, concept: Concept, others: Sequence[Concept], parts: Sequence[Part], words: Tensor
) -> tuple[list[Part], int]:
    """The parts with the value's words at the last tokens where these lead straighter, and how many; else 0.

    words: as `words_of` has them.
    """
    padded = first.denoiser.padded_tokens or 0
    place = next(place for place, each in enumerate(parts) if _is_padded(each, padded))
    tensor = parts[place].tensor.clone()
    tensor[padded - len(words) : padded] += words
    more = [*parts[:place], parts[place].with_tensor(tensor), *parts[place + 1 :]]
    plain, said = (first.straightness(concept, others, first.movement(concept, each, STATES)) for each in (parts, more))
    return (more, len(words)) if said >= plain + STRAIGHTER else (list(parts), 0)


def _is_padded(part: Part, padded: int) -> bool:
    """Whether a part only adds to text states that begin with so many of a prompt and its padding."""
    return (
        part.site.name == SITE and part.projection is None and part.tensor.ndim == 2 and len(part.tensor) >= padded > 0
    )


def _words(denoiser: FrozenDenoiser, concept: Concept, padded: int) -> Tensor | None:
    """What makes of padding the concept's words, (n, C); None where its prompts have no such words."""
    spans = [_said(denoiser.tokens(each.neutral), denoiser.tokens(each.target), padded) for each in concept.pairs]
    # Before "artist" they come with another article.
    shown = {words: [own[-len(words) :] == words for _, own in spans] for _, words in spans if words}
    words = max(shown, key=lambda each: sum(shown[each]), default=())
    if not words or 2 * sum(shown[words]) <= len(spans) or len(words) > padded * ROOM:
        return None
    found = []
    for pair, (end, _), says in zip(concept.pairs, spans, shown[words], strict=True):
        if says:
            padding = denoiser.text(pair.neutral)[SITE,][padded - len(words) : padded]
            found.append(denoiser.text(pair.target)[SITE,][end - len(words) : end] - padding)
    return torch.stack(found).mean(dim=0)


def _said(neutral: Sequence[int], target: Sequence[int], padded: int) -> tuple[int, tuple[int, ...]]:
    """What a target prompt says that the neutral one does not, between what both begin and end with; and its end.

    Nothing where a prompt leaves too little padding for it.
    """
    shared = min(len(neutral), len(target))
    begin = next((place for place in range(shared) if neutral[place] != target[place]), shared)
    same = next((place for place in range(shared - begin) if neutral[-1 - place] != target[-1 - place]), shared - begin)
    end = len(target) - same
    return end, tuple(target[begin:end]) if max(len(neutral), len(target)) + end - begin <= padded else ()
