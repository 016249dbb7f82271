"""An attribute in balance: its target shares, and what each category does to an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from directrix import checks
from directrix.concept import ATTRIBUTE_SETS, AttributeSet
from directrix.directions.collection import Catalogue, Effect
from directrix.directions.names import find, matches, plain
from directrix.errors import PolicyError
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.probe import Probe
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.policies.quotas import Target

UNIFORM = "uniform"
# The category of the images that are left as they are.
LEAVE = "leave"
# Shares are written with few digits: three thirds may be .33 each.
_TOLERANCE = 0.015

# An attribute set of one's own: names of directions, or what each category does.
Categories = AttributeSet | Sequence[str] | Mapping[str, Any]
# Probes, or their files.
ProbeFiles = Probe | str | Path | Sequence[Probe | str | Path]

_WHOLE: Settings = {"branch": "conditional", "start": 0.0, "stop": 1.0}


def whole_settings(owner: object, given: Settings) -> Settings:
    """The branch and window that an object was given, with what it was not given.

    Raises:
        TypeError: another keyword; the message names the object's class, as Python's own does.
        StrengthError: a branch or window that makes no sense.
    """
    for name in given.keys() - Settings.__annotations__.keys():
        raise TypeError(f"{type(owner).__name__}() got an unexpected keyword argument '{name}'")
    settings: Settings = {**_WHOLE, **given}
    Steering({}, **settings)
    return settings


@dataclass(frozen=True)
class Balance:
    """An attribute that is balanced.

    Args:
        target: its shares.
        effects: what each category does; also those that no image is given, where the prompt's component is taken out.
        window: the branch of guidance and the steps that are steered.
        project_and_set: whether the prompt's component in the attribute's span is taken out first; None for wherever
            that can be known.
        probe: reads the attribute, for feedback steering.
    """

    target: Target
    effects: Mapping[str, Effect]
    window: Settings = field(default_factory=Settings)
    project_and_set: bool | None = None
    probe: Probe | None = None

    @classmethod
    def of(
        cls,
        attribute: str,
        shares: str | Mapping[str | None, float],
        sets: Mapping[str, Categories],
        catalogue: Catalogue,
        window: Settings,
        project_and_set: bool | None = None,
        probes: Sequence[Probe] = (),
    ) -> Balance:
        """The balance of an attribute of `sets`; `shares` are "uniform", or shares by category.

        Raises:
            PolicyError: unknown names, missing directions, or shares that do not sum to 1.
            MismatchError, StrengthError: a probe that does not go with the directions or the window.
        """
        attribute = find(attribute, sets, "attribute")
        given = sets[attribute]
        listed = [concept.name for concept in given.concepts] if isinstance(given, AttributeSet) else given
        categories: dict[str, Any] = dict(listed) if isinstance(listed, Mapping) else {name: name for name in listed}
        exact = _shares(attribute, shares, categories)
        used = {name: catalogue.effect(categories[name]) for name, share in exact.items() if share and name != LEAVE}
        effects: dict[str, Effect] = {}
        for category, what in categories.items():
            if category in used:
                effects[category] = used[category]
            elif category != LEAVE and project_and_set is not False:
                # What a prompt says of a category that no image is given is taken out too, where that is known.
                with suppress(PolicyError):
                    effect = catalogue.effect(what)
                    directions = [each for one in (*used.values(), effect) for each in one]
                    if len({(each.model.fingerprint, each.site, tuple(each.tensor.shape)) for each in directions}) < 2:
                        effects[category] = effect
        probe = _probe_for(attribute, effects, probes)
        if probe is not None:
            # Raises where the probe does not go with the directions, before anything is drawn.
            FeedbackSteering({attribute: effects}, (), **window, probes={attribute: probe})
        return cls(Target.of(attribute, exact), effects, window, project_and_set, probe)

    @property
    def config(self) -> dict[str, Any]:
        """Settings as JSON values."""
        return {
            "attribute": self.target.attribute,
            "target": {name: round(float(share), 6) for name, share in self.target.shares},
            "effects": {name: as_json(effect) for name, effect in self.effects.items()},
            "project_and_set": self.project_and_set,
            **({} if self.probe is None else {"feedback": self.probe.digest()}),
            **self.window,
        }


def projects(attributes: Iterable[Mapping[str, Effect]], project_and_set: bool | None, window: Settings) -> bool:
    """Whether what prompts say of these attributes is taken out: as asked for, or by itself where that can be done."""
    if project_and_set is not None:
        return project_and_set
    sites = {direction.site for categories in attributes for effect in categories.values() for direction in effect}
    return len(sites) < 2 and window.get("branch", "conditional") == "conditional"


def sets_of(sets: Mapping[str, Categories] | None) -> dict[str, Categories]:
    """The attribute sets of the library and one's own, which win."""
    own = dict(sets or {})
    return {**{name: each for name, each in ATTRIBUTE_SETS.items() if not matches(name, own)}, **own}


def load_probes(
    feedback: ProbeFiles | None, sets: Mapping[str, Any], project_and_set: bool | None, folder: str | Path = ""
) -> tuple[Probe, ...]:
    """The probes that are meant, each under its attribute's name in `sets`; files are relative to the folder.

    Raises:
        DirectionFileError: one that cannot be read.
        PolicyError: what is no probe, one of an attribute that is in no set, two of one, or probes beside
            `project_and_set=False`.
    """
    listed = list(feedback) if isinstance(feedback, list | tuple) else [] if feedback is None else [feedback]
    probes: dict[str, Probe] = {}
    for each in listed:
        if not isinstance(each, Probe | str | Path):
            raise PolicyError(f"The feedback is {each!r}.", "a probe, or the name of its file.", "skin-tone.probe.")
        probe = each if isinstance(each, Probe) else Probe.load(Path(folder) / each)
        attribute = find(probe.attribute, sets, "attribute")
        if attribute in probes:
            raise PolicyError(f"Two probes read '{attribute}'.", "one of each attribute.", "leave one out.")
        probes[attribute] = replace(probe, attribute=attribute)
    if probes and project_and_set is False:
        raise PolicyError(
            "Categories that are only added get no feedback.", "feedback, or project_and_set: false.", "leave one out."
        )
    return tuple(probes.values())


def _probe_for(attribute: str, categories: Iterable[str], probes: Sequence[Probe]) -> Probe | None:
    """The one that reads the attribute, its categories under the names that they have here as far as they are known."""
    known = list(categories)
    for probe in probes:
        if probe.attribute == attribute:
            found = [matches(name, known) for name in probe.categories]
            names = (each[0] if len(each) == 1 else name for each, name in zip(found, probe.categories, strict=True))
            return replace(probe, categories=tuple(names))
    return None


def _shares(
    attribute: str, shares: str | Mapping[str | None, float], categories: Mapping[str, Any]
) -> dict[str, float]:
    if isinstance(shares, str) and plain(shares) == UNIFORM:
        return dict.fromkeys(categories, 1 / len(categories))
    if not isinstance(shares, Mapping) or not shares:
        raise PolicyError(
            f"The target of '{attribute}' is {shares!r}.", "'uniform', or a share for each category.", "uniform."
        )
    # In the order of the set, so that the order in which shares are written changes nothing.
    found = dict.fromkeys((*categories, LEAVE), 0.0)
    seen: set[str] = set()
    for name, share in shares.items():
        category = LEAVE if name is None else find(name, (*categories, LEAVE), f"category of {attribute}")
        if category in seen:
            raise PolicyError(f"The category '{category}' of '{attribute}' is named twice.", "once.")
        seen.add(category)
        found[category] = checks.fraction(f"The share of '{name}' of '{attribute}'", share, error=PolicyError)
    total = sum(found.values())
    if not math.isclose(total, 1, abs_tol=_TOLERANCE):
        rest = f"add '{LEAVE}: {1 - total:.2g}' for images that stay as they are" if total < 1 else "lower one"
        raise PolicyError(f"The shares of '{attribute}' sum to {total:g}.", "a sum of 1.", f"{rest}.")
    return {name: share for name, share in found.items() if share or name in seen}
