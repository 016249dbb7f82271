"""Quotas: which image of which prompt gets which category, so that targets are met by counting, not by luck.

For one attribute with shares t_1 + ... + t_C = 1, X_i(m) of the first m images of a prompt get category i, and

    |X_i(m) - m t_i| < 1        for every m, so every prefix is as even as whole images allow.

So the k-th image of category i has a window of places, from floor((k - 1) / t_i) + 1 to ceil(k / t_i). Any order
that keeps all windows will do, and a seeded one is drawn: at each place a random category among those after
which the rest can still be placed (Hall's condition on the windows). The same holds over prompts for the images
that are left over when N t_i is not whole: who gets them goes round the prompts in the same manner, beginning with the
greatest remainder. (Both at once can rarely ask too much of a later prompt; then the counts hold, and one of its
prefixes is off by less than two.)

Several attributes keep their own quotas exactly as alone. Which of their categories meet in an image is the
remaining freedom: the combination that lags most behind its product share comes next, and of several such orders the
one with the most even combinations is taken.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

# Orders that are tried for the images of a prompt, until one keeps all combinations within one image.
_ORDERS = 12
# Shares are kept as exact fractions of at most this denominator, so that counting never rounds.
_DENOMINATOR = 10_000


@dataclass(frozen=True)
class Target:
    """The share of each category of an attribute.

    Args:
        attribute: its name, such as "gender".
        shares: categories and their exact shares, which sum to 1; shares of 0 are allowed.
    """

    attribute: str
    shares: tuple[tuple[str, Fraction], ...]

    @classmethod
    def of(cls, attribute: str, shares: Mapping[str, float]) -> Target:
        """From numbers of 0 or more, which are scaled to sum to 1."""
        exact = {name: Fraction(share).limit_denominator(_DENOMINATOR) for name, share in shares.items()}
        total = sum(exact.values())
        return cls(attribute, tuple((name, share / total) for name, share in exact.items()))

    @property
    def categories(self) -> tuple[str, ...]:
        """Their names, in the order given."""
        return tuple(name for name, _ in self.shares)


class Quotas:
    """Hands out categories, prompt after prompt.

    What a prompt gets depends on the seed, its index, the images per prompt and the prompts before it that had
    the same target: never on batches or on the prompts after it.

    Args:
        images: images of each prompt, at least 1.
        seed: of the run.
    """

    def __init__(self, images: int, seed: int) -> None:
        self._images = images
        self._seed = seed
        self._rounds: dict[Target, _Rounds] = {}
        self._lags: dict[tuple[Target, ...], dict[tuple[int, ...], Fraction]] = {}

    def assign(self, prompt_index: int, targets: Sequence[Target]) -> list[tuple[str, ...]]:
        """The categories of each image of one prompt, one a target, in the order of the targets.

        Call it once a prompt, in the order of the prompts.
        """
        targets = tuple(targets)
        rounds = [self._rounds.setdefault(each, _Rounds(each, self._images)) for each in targets]
        cells = _cells(targets)
        before = self._lags.get(targets) or dict.fromkeys(cells, Fraction(0))
        best: _Order | None = None
        for attempt in range(_ORDERS if len(targets) > 1 else 1):
            text = f"quotas/{self._seed}/{prompt_index}/{attempt}"
            chance = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
            order = _order(targets, rounds, cells, before, self._images, chance)
            if best is None or order.unevenness < best.unevenness:
                best = order
            if best.even:
                break
        assert best is not None
        for each, extra in zip(rounds, best.extras, strict=True):
            each.take(extra)
        self._lags[targets] = best.lags
        return [tuple(target.categories[i] for target, i in zip(targets, cell, strict=True)) for cell in best.images]


@dataclass
class _Order:
    """One way to serve a prompt: the category of each image, and what it leaves behind."""

    images: list[tuple[int, ...]]
    extras: list[list[int]]  # for each target, the categories that got a left-over image
    lags: dict[tuple[int, ...], Fraction]  # for each combination, images it is behind after this prompt
    even: bool  # whether no combination is a whole image ahead or behind
    unevenness: tuple[float, float]  # what is beyond one image within the prompt, then the unevenness over prompts


def _cells(targets: Sequence[Target]) -> dict[tuple[int, ...], Fraction]:
    """The combinations that may occur, each with its product share."""
    cells = {}
    for combination in itertools.product(*(enumerate(share for _, share in each.shares) for each in targets)):
        share = math.prod((share for _, share in combination), start=Fraction(1))
        if share:
            cells[tuple(i for i, _ in combination)] = share
    return cells


def _order(
    targets: Sequence[Target],
    rounds: Sequence[_Rounds],
    cells: Mapping[tuple[int, ...], Fraction],
    before: Mapping[tuple[int, ...], Fraction],
    images: int,
    chance: random.Random,
) -> _Order:
    extras, queues = [], []
    for target, each in zip(targets, rounds, strict=True):
        shares = [share for _, share in target.shares]
        for _ in range(_ORDERS):
            extra = each.choose(chance)
            queue = _Queue(shares, each.counts(extra), images)
            if queue.whole():
                break
        extras.append(extra)
        queues.append(queue)
    product = {cell: float(share) for cell, share in cells.items()}
    # What earlier prompts left uneven is made good here where the quotas leave a choice.
    behind = {cell: float(lag) for cell, lag in before.items()}
    given = dict.fromkeys(cells, 0)
    chosen: list[tuple[int, ...]] = []
    for place in range(1, images + 1):
        options = itertools.product(*(queue.choices() for queue in queues))
        lag = {cell: place * product[cell] - given[cell] + behind[cell] + chance.random() / 2 for cell in options}
        # Alone, an attribute is free to be as irregular as its windows let it.
        cell = max(lag, key=lag.__getitem__) if len(queues) > 1 else list(lag)[_any(range(len(lag)), chance)]
        for queue, category in zip(queues, cell, strict=True):
            queue.take(category)
        given[cell] += 1
        chosen.append(cell)
    within = {cell: images * share - given[cell] for cell, share in cells.items()}
    lags = {cell: before[cell] + lag for cell, lag in within.items()}
    beyond = max(1.0, *map(abs, map(float, within.values())))
    even = beyond == 1 and max(map(abs, lags.values())) < 1
    return _Order(chosen, extras, lags, even, (beyond, sum(float(lag) ** 2 for lag in lags.values())))


class _Queue:
    """The windows of one attribute: what may come next so that everything still finds its place.

    Args:
        shares: of the categories per place.
        counts: places that each category gets in the end; None where there is no end.
        places: their number; without an end, how far to look ahead is worked out.
    """

    def __init__(self, shares: Sequence[Fraction], counts: Sequence[int] | None, places: int | None) -> None:
        self._shares = shares
        self._counts = counts
        self._places = places
        self.taken = [0] * len(shares)
        self.place = 0
        least = min((share for share in shares if share), default=Fraction(1))
        # Beyond this no category can be ahead of its share any more, so no window can be missed there.
        self._reach = math.ceil(2 / least) + 1
        self._bounds: dict[int, tuple[list[int], list[int]]] = {}

    def _bound(self, place: int) -> tuple[list[int], list[int]]:
        """The least and the greatest numbers of images after `place` places."""
        if place not in self._bounds:
            low = [place * share.numerator // share.denominator for share in self._shares]
            high = [-(-place * share.numerator // share.denominator) for share in self._shares]
            if self._counts is not None:
                high = list(map(min, high, self._counts))
                low = list(self._counts) if place == self._places else list(map(min, low, self._counts))
            self._bounds[place] = low, high
        return self._bounds[place]

    def whole(self) -> bool:
        """Whether all prefixes can be within one image; rarely the left-over images of a prompt prevent it."""
        return all(sum(self._bound(place)[1]) >= place for place in range(1, (self._places or 0) + 1))

    def choices(self) -> list[int]:
        """Categories that may have the next place; at least one."""
        _, high = self._bound(self.place + 1)
        free = [i for i, taken in enumerate(self.taken) if taken < high[i]]
        fine = [i for i in free if self._possible(i)] if len(free) > 1 else free
        if fine:
            return fine
        # Not with every quota; the shares that lag most lose least.
        left = [i for i in range(len(self.taken)) if self._counts is None or self.taken[i] < self._counts[i]]
        return [max(left, key=lambda i: (self.place + 1) * self._shares[i] - self.taken[i])]

    def take(self, category: int) -> None:
        """Gives the next place to a category."""
        self.taken[category] += 1
        self.place += 1
        self._bounds.pop(self.place, None)

    def _possible(self, category: int) -> bool:
        taken = list(self.taken)
        taken[category] += 1
        now = self.place + 1
        end = now + self._reach if self._places is None else min(self._places, now + self._reach)
        for place in range(now, end + 1):
            low, _ = self._bound(place)
            if sum(least - have for least, have in zip(low, taken, strict=True) if least > have) > place - now:
                return False
        return True


class _Rounds:
    """Which categories get the images that are left over in each prompt, prompt after prompt."""

    def __init__(self, target: Target, images: int) -> None:
        self._whole = [math.floor(images * share) for _, share in target.shares]
        self._rest = [images * share - whole for (_, share), whole in zip(target.shares, self._whole, strict=True)]
        self._seats = int(sum(self._rest))
        remaining = sum(map(bool, self._rest))
        # With one image too few for all that have a remainder, it is simpler to say who goes without.
        self._turned = self._seats > 1 and remaining - self._seats == 1
        turns = 1 if self._turned else max(1, self._seats)
        rates = [(1 - rest if self._turned and rest else rest) / turns for rest in self._rest]
        self._turns = turns
        self._rates = rates
        self._queue = _Queue(rates, None, None)

    def choose(self, chance: random.Random) -> list[int]:
        """Categories that may get a left-over image in the next prompt."""
        if not self._seats:
            return []
        queue = copy.deepcopy(self._queue)
        picked: list[int] = []
        for _ in range(self._turns):
            remaining = [i for i, rest in enumerate(self._rest) if rest and i not in picked]
            options = [i for i in queue.choices() if i in remaining]
            if not options:
                options = [max(remaining, key=lambda i: (queue.place + 1) * self._rates[i] - queue.taken[i])]
            if queue.place < self._turns:
                # A single prompt is served by greatest remainders.
                most = max(self._rates[i] for i in options)
                options = [i for i in options if self._rates[i] == most]
            picked.append(_any(options, chance))
            queue.take(picked[-1])
        if self._turned:
            return [i for i, rest in enumerate(self._rest) if rest and i not in picked]
        return sorted(picked)

    def take(self, extra: Sequence[int]) -> None:
        """Settles a choice."""
        if self._turned:
            extra = [i for i, rest in enumerate(self._rest) if rest and i not in extra]
        for category in extra:
            self._queue.take(category)

    def counts(self, extra: Sequence[int]) -> list[int]:
        """Images of each category in the prompt."""
        return [whole + (i in extra) for i, whole in enumerate(self._whole)]


def _any(options: Sequence[int], chance: random.Random) -> int:
    # `random()` alone gives the same numbers in every version of Python.
    return options[int(chance.random() * len(options))]
