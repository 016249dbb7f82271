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

import hashlib
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")
# Orders that are tried for the images of a prompt, until one keeps all combinations within one image.
_ORDERS = 12
# Shares are kept as exact fractions of at most this denominator, so that counting never rounds.
_DENOMINATOR = 10_000
# Answers of a prompt's windows that are remembered for the prompts after it.
_REMEMBERED = 10_000


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
        self._met: dict[tuple[Target, ...], _Together] = {}

    def assign(self, prompt_index: int, targets: Sequence[Target]) -> list[tuple[str, ...]]:
        """The categories of each image of one prompt, one a target, in the order of the targets.

        Call it once a prompt, in the order of the prompts.
        """
        targets = tuple(targets)
        together = self._met.get(targets)
        if together is None:
            self._rounds |= {each: _Rounds(each, self._images) for each in targets if each not in self._rounds}
            together = self._met[targets] = _Together([self._rounds[each] for each in targets])
        orders: list[_Order] = []
        best = None
        while best is None or not (best.even or len(targets) < 2 or len(orders) == _ORDERS):
            text = f"quotas/{self._seed}/{prompt_index}/{len(orders)}"
            chance = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
            orders.append(self._order(together, chance))
            best = min(orders, key=lambda order: order.unevenness)
        for each, extra in zip(together.rounds, best.extras, strict=True):
            each.take(extra)
        together.lags = best.lags
        return [tuple(target.shares[i][0] for target, i in zip(targets, cell, strict=True)) for cell in best.images]

    def _order(self, together: _Together, chance: random.Random) -> _Order:
        """One way to serve a prompt."""
        rounds, products, before, one = together.rounds, together.products, together.lags, together.one
        extras, windows = [], []
        for each in rounds:
            for _ in range(_ORDERS):
                extra = each.choose(chance)
                found = each.windows(extra)
                if found.whole():
                    break
            extras.append(extra)
            windows.append(found)
        # What earlier prompts left uneven is made good here where the quotas leave a choice.
        ahead = {cell: (share / one, before[cell] / one) for cell, share in products.items()}
        given = dict.fromkeys(products, 0)
        taken = [[0] * len(each.shares) for each in rounds]
        images: list[_Cell] = []
        for place in range(1, self._images + 1):
            lag = {}
            for cell in itertools.product(*(each.choices(own) for each, own in zip(windows, taken, strict=True))):
                share, behind = ahead[cell]
                lag[cell] = place * share - given[cell] + behind + chance.random() / 2
            # Alone, an attribute is free to be as irregular as its windows let it.
            cell = max(lag, key=lag.__getitem__) if len(rounds) > 1 else _any(list(lag), chance)
            for own, category in zip(taken, cell, strict=True):
                own[category] += 1
            given[cell] += 1
            images.append(cell)
        within = {cell: self._images * share - given[cell] * one for cell, share in products.items()}
        lags = {cell: before[cell] + lag for cell, lag in within.items()}
        beyond = max(1.0, *(abs(lag / one) for lag in within.values()))
        even = beyond == 1 and max(map(abs, lags.values())) < one
        return _Order(images, extras, lags, even, (beyond, sum((lag / one) ** 2 for lag in lags.values())))


# A combination: the index of a category of each target.
_Cell = tuple[int, ...]


class _Order(NamedTuple):
    """One way to serve a prompt: the category of each image, and what it leaves behind."""

    images: list[_Cell]
    extras: list[list[int]]  # for each target, the categories that got a left-over image
    lags: dict[_Cell, int]  # for each combination, by how much of an image it is behind after this prompt
    even: bool  # whether no combination is a whole image ahead or behind
    unevenness: tuple[float, float]  # what is beyond one image within the prompt, then the unevenness over prompts


class _Together:
    """Targets that prompts have together: what their combinations are to get, and what they have got."""

    def __init__(self, rounds: Sequence[_Rounds]) -> None:
        self.rounds = rounds
        shares = {
            tuple(i for i, _ in cell): math.prod((share for _, share in cell), start=Fraction(1))
            for cell in itertools.product(*(enumerate(each.shares) for each in rounds))
            if all(share for _, share in cell)
        }
        # What a whole is, and the product share of each combination in the same unit.
        self.one = math.lcm(*(share.denominator for share in shares.values()))
        self.products = {cell: int(share * self.one) for cell, share in shares.items()}
        # By how much each combination is behind after the last prompt.
        self.lags = dict.fromkeys(self.products, 0)


class _Windows:
    """The windows of one attribute: what may come next so that everything still finds its place.

    Args:
        shares: of the categories per place.
        counts: places that each category gets in the end; None where there is no end.
    """

    def __init__(self, shares: Sequence[Fraction], counts: Sequence[int] | None = None) -> None:
        self._shares = shares
        self._counts = counts
        least = min((share for share in shares if share), default=Fraction(1))
        # Beyond this no category can be ahead of its share any more, so no window can be missed there.
        self._reach = math.ceil(2 / least) + 1
        self._bounds: dict[int, tuple[list[int], list[int]]] = {}
        # The fewest places in which each category gets a whole number, and these numbers.
        self._period = math.lcm(*(share.denominator for share in shares))
        self._of_period = [int(self._period * share) for share in shares]
        # Prompts of equal counts ask the same again and again.
        self._chosen: dict[tuple[int, ...], list[int]] = {}
        self._whole: bool | None = None

    def _bound(self, place: int) -> tuple[list[int], list[int]]:
        """The least and the greatest numbers of images after `place` places."""
        if place not in self._bounds:
            low = [place * share.numerator // share.denominator for share in self._shares]
            high = [-(-place * share.numerator // share.denominator) for share in self._shares]
            if self._counts is not None:
                high = list(map(min, high, self._counts))
                low = list(self._counts) if place == sum(self._counts) else list(map(min, low, self._counts))
            self._bounds[place] = low, high
        return self._bounds[place]

    def whole(self) -> bool:
        """Whether all prefixes can be within one image; rarely the left-over images of a prompt prevent it."""
        if self._whole is None:
            self._whole = all(sum(self._bound(place)[1]) >= place for place in range(1, sum(self._counts or ()) + 1))
        return self._whole

    def choices(self, taken: Sequence[int]) -> list[int]:
        """Categories that may have the place after those that are taken; at least one."""
        key = tuple(taken)
        if self._counts is None:
            # Without an end, what may come next depends on what was taken since the last whole period alone.
            periods = sum(taken) // self._period
            key = tuple(have - periods * whole for have, whole in zip(taken, self._of_period, strict=True))
        found = self._chosen.get(key) or self._choices(key)
        if len(self._chosen) < _REMEMBERED:
            self._chosen[key] = found
        return found

    def _choices(self, taken: Sequence[int]) -> list[int]:
        _, high = self._bound(sum(taken) + 1)
        free = [i for i, have in enumerate(taken) if have < high[i]]
        fine = [i for i in free if self._possible(taken, i)] if len(free) > 1 else free
        # Not with every quota; the shares that lag most lose least.
        left = [i for i, have in enumerate(taken) if self._counts is None or have < self._counts[i]]
        return fine or [_behind(self._shares, taken, left)]

    def _possible(self, taken: Sequence[int], category: int) -> bool:
        """Whether the rest can still be placed when the category comes next."""
        then = [have + (i == category) for i, have in enumerate(taken)]
        now = sum(then)
        end = now + self._reach if self._counts is None else min(sum(self._counts), now + self._reach)
        return all(
            sum(max(low - have, 0) for low, have in zip(self._bound(place)[0], then, strict=True)) <= place - now
            for place in range(now, end + 1)
        )


class _Rounds:
    """Which categories get the images that are left over in each prompt, prompt after prompt."""

    def __init__(self, target: Target, images: int) -> None:
        self.shares = [share for _, share in target.shares]
        self.whole = [math.floor(images * share) for share in self.shares]
        rest = [images * share - whole for share, whole in zip(self.shares, self.whole, strict=True)]
        self._some = [i for i, part in enumerate(rest) if part]
        seats = int(sum(rest))
        # With one image too few for all that have a remainder, it is simpler to say who goes without.
        self._turned = seats > 1 and len(self._some) - seats == 1
        self._turns = 1 if self._turned else seats
        self._rates = [(1 - part if self._turned and part else part) / max(1, self._turns) for part in rest]
        self._windows = _Windows(self._rates)
        self._taken = [0] * len(rest)
        self._by_extra: dict[tuple[int, ...], _Windows] = {}

    def windows(self, extra: Sequence[int]) -> _Windows:
        """The windows of a prompt whose left-over images go to these categories."""
        key = tuple(extra)
        if key not in self._by_extra:
            counts = [whole + (i in key) for i, whole in enumerate(self.whole)]
            self._by_extra[key] = _Windows(self.shares, counts)
        return self._by_extra[key]

    def choose(self, chance: random.Random) -> list[int]:
        """Categories that may get a left-over image in the next prompt."""
        taken = list(self._taken)
        picked: list[int] = []
        for _ in range(self._turns):
            remaining = [i for i in self._some if i not in picked]
            options = [i for i in self._windows.choices(taken) if i in remaining]
            options = options or [_behind(self._rates, taken, remaining)]
            if sum(taken) < self._turns:
                # A single prompt is served by greatest remainders.
                most = max(self._rates[i] for i in options)
                options = [i for i in options if self._rates[i] == most]
            picked.append(_any(options, chance))
            taken[picked[-1]] += 1
        return self._chosen(picked)

    def take(self, extra: Sequence[int]) -> None:
        """Settles a choice."""
        for category in self._chosen(extra):
            self._taken[category] += 1

    def _chosen(self, picked: Sequence[int]) -> list[int]:
        """Those who get an image, of those who are picked, or the other way round."""
        return [i for i in self._some if (i in picked) is not self._turned]


def _behind(shares: Sequence[Fraction], taken: Sequence[int], among: Sequence[int]) -> int:
    """The category that lags most behind its share."""
    return max(among, key=lambda i: (sum(taken) + 1) * shares[i] - taken[i])


def _any(options: Sequence[_T], chance: random.Random) -> _T:
    # `random()` alone gives the same numbers in every version of Python.
    return options[int(chance.random() * len(options))]
