"""Fair generation: the categories of an attribute are spread over each prompt's images by quota.

    fair(pipeline, ["a judge"], {"gender": "uniform", "skin tone": "uniform"}, images=12, directions="directions/")

draws two images of each combination, in an order that the seed shuffles. What a prompt says of an attribute itself
stands, and prompts about groups or about no person keep their very bits; see `Gate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any, Unpack

from directrix.deprecation import renamed
from directrix.directions.collection import Directions
from directrix.directions.target_label import TargetLabel
from directrix.errors import PolicyError
from directrix.interventions.preview import Looking
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.policies.balance import Attributes, Balance, SteeredBalancing
from directrix.policies.gates.gate import Gate
from directrix.policies.plan import Request, RequestPlanner
from directrix.policies.quotas import Target


class Fair(RequestPlanner):
    """Gives every prompt's images their categories by quota: a planner (see `directrix.interventions.protocol`).

    Args:
        attributes: for each attribute "uniform", or shares of its categories that sum to 1. The category "leave"
            (or None) is the share of images that are not steered. A category that is left out gets none.
        directions: a folder, files, or directions; see `Catalogue`.
        sets: attribute sets besides "gender" and "skin tone", or in their place: a list of directions' names, or
            a mapping from each category to its direction, or to directions with strengths.
        strengths: strengths by direction's name, where they are not the direction's own default.
        project_and_set: whether the prompt's own component in the attribute's span is taken out before the category
            is added (`ProjectAndSet`); False for adding alone, as the paper does; None for wherever both branches of
            guidance are there to tell what a prompt says, and adding elsewhere.
        feedback: probes, or their files, by which images are steered back to their categories (`FeedbackSteering`).
        closed_loop: probes of all the attributes, or their files; or a judge, or "judge" for one that `read_by` gives
            later. Images that show their category by themselves are then left as they are, and the fewest others are
            steered (`ClosedLoop`).
        gate: which prompts are steered; see `Gate`. None for those about one person, each attribute only as far as
            the prompt does not say it itself; False for all.
        branch, start, stop: as in `steer`.

    Raises:
        PolicyError: unknown names, missing directions, shares that do not sum to 1, or a probe of no attribute.
        DirectionFileError: a probe that cannot be read.
        MismatchError, StrengthError: `project_and_set` or `feedback` with directions of several sites, or with
            another branch.
    """

    @renamed(replace="project_and_set", hold="feedback")
    def __init__(
        self,
        attributes: Mapping[str, str | Mapping[str | None, float]],
        directions: Directions,
        gate: Gate | Mapping[str, Any] | bool | None = None,
        **settings: Unpack[SteeredBalancing],
    ) -> None:
        known = Attributes(self, directions, settings)
        self.gate = Gate.of(gate)
        if not isinstance(attributes, Mapping) or not attributes:
            raise PolicyError(
                "There are no attributes to balance.", "attributes and targets.", '{"gender": "uniform"}.'
            )
        self.balances: tuple[Balance, ...] = tuple(known.balance(*each) for each in attributes.items())
        effects = {each.target.attribute: each.effects for each in self.balances}
        if len(effects) < len(self.balances):
            raise PolicyError(f"The attributes are {', '.join(attributes)}.", "each attribute once.")
        if known.project_and_set:
            # Raises where it can't be done, before anything is drawn.
            ProjectAndSet(effects, (), **known.window)
        idle = [each for each in (known.probes or known.loop_probes) if each not in effects]
        if idle:
            raise PolicyError(
                f"The probe of '{idle[0]}' has nothing to act on.", "a probe of what is balanced.", "leave it out."
            )

    @property
    def name(self) -> str:
        """Such as "fair gender, skin tone"."""
        return "fair " + ", ".join(each.target.attribute for each in self.balances)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {"method": "fair", "attributes": [each.config for each in self.balances], "gate": self.gate.config}

    def read_by(self, judge: Looking, labels: Mapping[str, Mapping[str, TargetLabel]] | None = None) -> Fair:
        """The same, with this judge for what a judge is to read half-way.

        labels: what it sees of each category, by attribute; None for what the directions were calibrated on.
        """
        new = copy(self)
        new.balances = tuple(each.read_by(judge, (labels or {}).get(each.target.attribute)) for each in self.balances)
        return new

    def request(self, prompt: str) -> Request:
        """What one prompt is to get."""
        if self.gate.open:
            return Request(prompt, self.balances)
        gates = self.gate.decide(
            prompt, {each.target.attribute: [name for name, _ in each.target.shares] for each in self.balances}
        )
        steered = []
        for each in self.balances:
            attribute = each.target.attribute
            category = self.gate.named(prompt, gates[attribute], list(each.effects)) if each.closed_loop else None
            if category is not None:
                # Images that read so keep their bits.
                each = replace(each, target=Target.of(attribute, {category: 1.0}), named=True)
                gates[attribute] = replace(gates[attribute], steered=True)
            if gates[attribute].steered:
                steered.append(each)
        return Request(prompt, tuple(steered), gates=gates)
