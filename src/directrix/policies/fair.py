"""Fair generation: the categories of an attribute are spread over each prompt's images by quota.

    fair(pipeline, ["a judge"], {"gender": "uniform", "skin tone": "uniform"}, images=12, directions="directions/")

draws two images of each combination, in an order that the seed shuffles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from directrix.concept import ATTRIBUTE_SETS, AttributeSet
from directrix.directions.collection import Catalogue, Directions, Effect
from directrix.directions.names import find, matches, plain
from directrix.errors import PolicyError
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.interventions.protocol import Plan
from directrix.interventions.steering import Steering
from directrix.policies.plan import LEAVE, Balance, Request, Window, realise, unplanned
from directrix.policies.probes import ProbeFiles, load_probes, probe_for
from directrix.policies.quotas import Target

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.interventions.probe import Probe

UNIFORM = "uniform"
# Shares are written with few digits: three thirds may be .33 each.
_TOLERANCE = 0.015

# An attribute set of one's own: names of directions, or what each category does.
Categories = AttributeSet | Sequence[str] | Mapping[str, Any]


class Fair:
    """Gives every prompt's images their categories by quota: a planner (see `directrix.interventions.protocol`).

    Args:
        attributes: for each attribute "uniform", or shares of its categories that sum to 1. The category "leave"
            (or None) is the share of images that are not steered. A category that is left out gets none.
        directions: a folder, files, or directions; see `Catalogue`.
        sets: attribute sets besides "gender" and "skin tone", or in their place: a list of directions' names, or
            a mapping from each category to its direction, or to directions with strengths.
        strengths: strengths by direction's name, where they are not the direction's own default.
        replace: whether what a prompt itself says of an attribute is taken out before the category is added
            (`replaced`); False for adding alone, as the paper does; None for wherever both halves of guidance
            are there to tell what a prompt says, and adding elsewhere.
        hold: gauges, or their files, by which the categories of their attributes are held (`held`).
        branch, start, stop: as in `steer`.

    Raises:
        PolicyError: unknown names, missing directions, shares that do not sum to 1, or a gauge of no attribute.
        DirectionFileError: a gauge that cannot be read.
        MismatchError, StrengthError: `replace` or `hold` with directions of several sites, or with another branch.
    """

    def __init__(
        self,
        attributes: Mapping[str, str | Mapping[str | None, float]],
        directions: Directions,
        *,
        sets: Mapping[str, Categories] | None = None,
        strengths: Mapping[str, float] | None = None,
        replace: bool | None = None,
        feedback: ProbeFiles = (),
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
    ) -> None:
        catalogue = Catalogue.of(directions, strengths)
        window = Window(branch=branch, start=start, stop=stop)
        Steering({}, **window)  # raises where the window makes no sense
        if not isinstance(attributes, Mapping) or not attributes:
            raise PolicyError(
                "There are no attributes to balance.", "attributes and targets.", '{"gender": "uniform"}.'
            )
        known = sets_of(sets)
        probes = load_probes(feedback, known, replace)
        self.balances: tuple[Balance, ...] = tuple(
            balance(name, shares, known, catalogue, window, replace, probes) for name, shares in attributes.items()
        )
        names = [each.target.attribute for each in self.balances]
        if len(set(names)) < len(names):
            raise PolicyError(f"The attributes are {', '.join(attributes)}.", "each attribute once.")
        if replace:
            # Raises where it can't be done, before anything is drawn.
            ProjectAndSet({each.target.attribute: each.effects for each in self.balances}, (), **window)
        idle = [each.attribute for each in probes if each.attribute not in names]
        if idle:
            raise PolicyError(
                f"The gauge of '{idle[0]}' has nothing to hold.", "a gauge of what is balanced.", "leave it out."
            )
        check_feedback(self.balances)

    @property
    def name(self) -> str:
        """Such as "fair gender, skin tone"."""
        return "fair " + ", ".join(each.target.attribute for each in self.balances)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {"method": "fair", "attributes": [balance_config(each) for each in self.balances]}

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Raises DirectrixError: without prompts there is nothing to apply."""
        unplanned(self.name)

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        """Which image gets which directions."""
        return realise([Request(each, self.balances) for each in prompts], prompts, images_per_prompt, seed)


def sets_of(sets: Mapping[str, Categories] | None) -> dict[str, Categories]:
    """The attribute sets of the library and one's own, which win."""
    own = dict(sets or {})
    return {**{name: each for name, each in ATTRIBUTE_SETS.items() if not matches(name, own)}, **own}


def balance(
    attribute: str,
    shares: str | Mapping[str | None, float],
    sets: Mapping[str, Categories],
    catalogue: Catalogue,
    window: Window,
    replace: bool | None = None,
    probes: Sequence[Probe] = (),
) -> Balance:
    """An attribute's target and effects.

    Raises:
        PolicyError: unknown names, missing directions, or shares that do not sum to 1.
    """
    attribute = find(attribute, sets, "attribute")
    categories = _categories(sets[attribute])
    exact = _shares(attribute, shares, categories)
    given = {name: catalogue.effect(categories[name]) for name, share in exact.items() if share and name != LEAVE}
    effects: dict[str, Effect] = {}
    for category, what in categories.items():
        if category in given:
            effects[category] = given[category]
        elif category != LEAVE and replace is not False:
            # What a prompt says of a category that no image is given is taken out too, where that is known.
            with suppress(PolicyError):
                effect = catalogue.effect(what)
                if _alike([each for one in (*given.values(), effect) for each in one]):
                    effects[category] = effect
    return Balance(Target.of(attribute, exact), effects, window, replace, probe_for(attribute, effects, probes))


def check_feedback(balances: Sequence[Balance]) -> None:
    """Raises MismatchError or StrengthError where a gauge does not go with what it is to hold."""
    for each in balances:
        if each.probe is not None:
            attribute = each.target.attribute
            FeedbackSteering({attribute: each.effects}, (), **each.window, probes={attribute: each.probe})


def _alike(directions: Sequence[Direction]) -> bool:
    """Whether directions are of one model, site and size."""
    kinds = {(each.model.fingerprint, each.site, tuple(each.tensor.shape)) for each in directions}
    return len(kinds) < 2


def balance_config(each: Balance) -> dict[str, Any]:
    """A balance as JSON values."""
    return {
        "attribute": each.target.attribute,
        "target": {name: round(float(share), 6) for name, share in each.target.shares},
        "effects": {name: dict(Steering(effect).config)["directions"] for name, effect in each.effects.items()},
        "replace": each.replace,
        **({} if each.probe is None else {"held": each.probe.digest()}),
        **each.window,
    }


def _categories(given: Categories) -> dict[str, Any]:
    if isinstance(given, AttributeSet):
        return {concept.name: concept.name for concept in given.concepts}
    if isinstance(given, Mapping):
        return dict(given)
    return {name: name for name in given}


def _shares(
    attribute: str, shares: str | Mapping[str | None, float], categories: Mapping[str, Any]
) -> dict[str, float]:
    if isinstance(shares, str):
        if plain(shares) != UNIFORM:
            raise PolicyError(
                f"The target of '{attribute}' is '{shares}'.", "'uniform', or a share for each category.", "uniform."
            )
        return dict.fromkeys(categories, 1 / len(categories))
    if not isinstance(shares, Mapping) or not shares:
        raise PolicyError(f"The target of '{attribute}' is {shares!r}.", "'uniform', or shares by category.")
    # In the order of the set, so that the order in which shares are written changes nothing.
    found = dict.fromkeys((*categories, LEAVE), 0.0)
    seen: set[str] = set()
    for name, share in shares.items():
        category = LEAVE if name is None else find(name, (*categories, LEAVE), f"category of {attribute}")
        if category in seen:
            raise PolicyError(f"The category '{category}' of '{attribute}' is named twice.", "once.")
        seen.add(category)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise PolicyError(f"The share of '{name}' of '{attribute}' is {share!r}.", "a number from 0 to 1.", "0.5.")
        found[category] = float(share)
    total = sum(found.values())
    if not math.isclose(total, 1, abs_tol=_TOLERANCE):
        rest = f"add '{LEAVE}: {1 - total:.2g}' for images that stay as they are" if total < 1 else "lower one"
        raise PolicyError(f"The shares of '{attribute}' sum to {total:g}.", "a sum of 1.", f"{rest}.")
    return {name: share for name, share in found.items() if share or name in seen}
