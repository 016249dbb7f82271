"""An attribute in balance: its target shares, and what each category does to an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from directrix import checks
from directrix.concept import ATTRIBUTE_SETS, AttributeSet
from directrix.directions.calibrated_on import calibrated_on
from directrix.directions.collection import Catalogue, Directions, Effect, find, matches, plain
from directrix.directions.target_label import TargetLabel
from directrix.errors import PolicyError
from directrix.interventions.closed_loop import ClosedLoop
from directrix.interventions.comparable import compared
from directrix.interventions.feedback_control import FeedbackSteering
from directrix.interventions.preview import Looking, Preview
from directrix.interventions.probe import Probe
from directrix.interventions.steering import Settings, Steering, as_json
from directrix.interventions.tally import Tally
from directrix.models.text_inputs import is_text_input
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
# In place of probes: a judge looks, which is given later.
JUDGE = "judge"

_WHOLE: Settings = {"branch": "conditional", "start": 0.0, "stop": 1.0}


def whole_settings(owner: object, given: Mapping[str, Any]) -> Settings:
    """The branch and window that an object was given, with what it was not given; TypeError for another keyword, as
    Python's own, and StrengthError where they make no sense."""
    for name in given.keys() - Settings.__annotations__.keys():
        raise TypeError(f"{type(owner).__name__}() got an unexpected keyword argument '{name}'")
    settings: Any = {**_WHOLE, **given}
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
        probe: reads the attribute, for feedback steering, or for the closed loop, which can also have a preview.
        closed_loop: whether images that show their category by themselves are left as they are (`ClosedLoop`).
        named: whether the prompt names the one category itself, which is only met.
    """

    target: Target
    effects: Mapping[str, Effect]
    window: Settings = field(default_factory=Settings)
    project_and_set: bool | None = None
    probe: Probe | Preview | None = None
    closed_loop: bool = False
    named: bool = False

    @property
    def waits_for_a_judge(self) -> bool:
        """Whether a judge is to read it, and none is given yet."""
        return isinstance(self.probe, Preview) and self.probe.judge is None

    def read_by(self, judge: Looking, labels: Mapping[str, TargetLabel] | None = None) -> Balance:
        """The same, read by this judge where a judge reads it and none is given yet.

        labels: what it sees of each category; None for what the directions were calibrated on.
        """
        if not isinstance(self.probe, Preview) or not self.waits_for_a_judge:
            return self
        return replace(self, probe=replace(self.probe, judge=judge, labels=labels or self.probe.labels))

    @property
    def config(self) -> dict[str, Any]:
        """Settings as JSON values."""
        return {
            "attribute": self.target.attribute,
            "target": {name: round(float(share), 6) for name, share in self.target.shares},
            "effects": {name: as_json(effect) for name, effect in self.effects.items()},
            "project_and_set": self.project_and_set,
            **({} if self.probe is None else {"closed_loop" if self.closed_loop else "feedback": self.probe.digest()}),
            **self.window,
        }


def projects(attributes: Iterable[Mapping[str, Effect]], project_and_set: bool | None, window: Settings) -> bool:
    """Whether what prompts say of these attributes is taken out: as asked for, or by itself where that can be done."""
    if project_and_set is not None:
        return project_and_set
    effects = (effect for categories in attributes for effect in categories.values())
    sites = {part.site for effect in effects for direction in effect for part in compared(direction)}
    # Of text states the prompt's own word is most of what is there: a gate of prompts, not a projection, is for that.
    inside = not any(map(is_text_input, sites))
    return inside and len(sites) < 2 and window.get("branch", "conditional") == "conditional"


class Balancing(TypedDict, total=False):
    """How attributes are balanced; see `Fair`."""

    sets: Mapping[str, Categories] | None
    strengths: Mapping[str, float] | None
    project_and_set: bool | None
    feedback: ProbeFiles | None
    closed_loop: ProbeFiles | Looking | None


class SteeredBalancing(Balancing, Settings, total=False):
    """The same, with the branch of guidance and the window of steps."""


class Attributes:
    """The attributes that can be balanced, with the directions and probes that do it.

    Args:
        owner: whose settings these are, for errors.
        directions, settings: as in `Fair`, with its errors.
        folder: what the names of probes' files are relative to.
    """

    def __init__(
        self, owner: object, directions: Directions, settings: SteeredBalancing, folder: str | Path = ""
    ) -> None:
        given: dict[str, Any] = dict(settings)
        sets, strengths, self.project_and_set, *probes = (given.pop(key, None) for key in Balancing.__annotations__)
        self.catalogue = Catalogue.of(directions, strengths)
        self.window = whole_settings(owner, given)
        # Those of the library, and one's own, which win.
        own = dict(sets or {})
        self.sets = {**{name: each for name, each in ATTRIBUTE_SETS.items() if not matches(name, own)}, **own}
        feedback, loop = probes
        # Whether a judge reads what is balanced, and which one.
        self._looking = loop == JUDGE or hasattr(loop, "label")
        self._judge: Any = loop if self._looking and loop != JUDGE else None
        self.probes = self._loaded(feedback, folder)
        self.loop_probes = {} if self._looking else self._loaded(loop, folder)
        # As it was given, with probes for their files.
        self.loop: Any = loop if self._looking else list(self.loop_probes.values())
        self.closed_loop = bool(self.loop)
        if self.probes and self.closed_loop:
            raise PolicyError("Probes are given for feedback and for a closed loop.", "one of them.", "leave one out.")
        if self.probes and self.project_and_set is False:
            raise PolicyError(
                "Categories that are only added get no feedback.",
                "feedback, or project_and_set: false.",
                "leave one out.",
            )
        if self.closed_loop and self.project_and_set:
            raise PolicyError(
                "A closed loop only adds categories.", "closed_loop, or project_and_set: true.", "leave one out."
            )

    def _loaded(self, given: ProbeFiles | None, folder: str | Path) -> dict[str, Probe]:
        """The probes by the name of their attribute."""
        found: dict[str, Probe] = {}
        for each in given if isinstance(given, list | tuple) else [] if given is None else [given]:
            if not isinstance(each, Probe | str | Path):
                raise PolicyError(f"The feedback is {each!r}.", "a probe, or the name of its file.", "skin-tone.probe.")
            probe = each if isinstance(each, Probe) else Probe.load(Path(folder) / each)
            attribute = find(probe.attribute, self.sets, "attribute")
            if attribute in found:
                raise PolicyError(f"Two probes read '{attribute}'.", "one of each attribute.", "leave one out.")
            found[attribute] = replace(probe, attribute=attribute)
        return found

    def balance(self, attribute: str, shares: str | Mapping[str | None, float]) -> Balance:
        """The balance of an attribute; `shares` are "uniform", or shares by category. Raises what `Fair` does."""
        attribute = find(attribute, self.sets, "attribute")
        given = self.sets[attribute]
        listed = [concept.name for concept in given.concepts] if isinstance(given, AttributeSet) else given
        categories: dict[str, Any] = dict(listed) if isinstance(listed, Mapping) else {name: name for name in listed}
        exact = _shares(attribute, shares, categories)
        effect = self.catalogue.effect
        used = {name: effect(categories[name]) for name, share in exact.items() if share and name != LEAVE}
        effects: dict[str, Effect] = {}
        for category, what in categories.items():
            if category in used:
                effects[category] = used[category]
            elif category != LEAVE and self.project_and_set is not False and not self.closed_loop:
                # What a prompt says of a category that no image is given is taken out too, where that is known.
                with suppress(PolicyError):
                    unused = effect(what)
                    directions = [each for one in (*used.values(), unused) for each in one]
                    places = {
                        (each.model.fingerprint, *((part.site, part.tensor.shape) for part in compared(each)))
                        for each in directions
                    }
                    if len(places) < 2:
                        effects[category] = unused
        probe = (self.probes or self.loop_probes).get(attribute)
        if self._looking:
            probe = Preview(attribute, {name: seen_of(name, each) for name, each in effects.items()}, self._judge)
        elif probe is not None:
            # Its categories, under the names that they have here as far as they are known.
            names = ((matches(name, categories), name) for name in probe.categories)
            probe = replace(probe, categories=tuple(each[0] if len(each) == 1 else name for each, name in names))
        # Raises where the probes do not go with the directions, before anything is drawn.
        if self.closed_loop:
            readers = {} if probe is None else {attribute: probe}
            ClosedLoop({attribute: effects}, Tally((), ()), **self.window, probes=readers)
        elif isinstance(probe, Probe):
            FeedbackSteering({attribute: effects}, (), **self.window, probes={attribute: probe})
        balance = Balance(Target.of(attribute, exact), effects, self.window, self.project_and_set, probe)
        return replace(balance, closed_loop=self.closed_loop)


def seen_of(category: str, effect: Effect) -> TargetLabel:
    """What a judge sees of a category: what its direction was calibrated on; PolicyError where it was not."""
    labels = [calibrated_on(direction) for direction in effect]
    if len(labels) == 1 and labels[0] is not None:
        return labels[0]
    raise PolicyError(
        f"Nobody knows what a judge sees of '{category}': "
        + ("several directions make it." if len(labels) > 1 else "its direction was not calibrated."),
        "one direction, which was calibrated.",
        "directrix discover without --no-calibration, or a probe: directrix fit-probe --closed-loop.",
    )


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
