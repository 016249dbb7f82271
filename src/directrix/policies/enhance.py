"""Text-enhancing generation as an intervention: what a prompt asks for in words is done by directions.

`understand` reads the prompt. "any gender" balances the genders over that prompt's images, each category getting the
same share; "without alcohol" keeps alcohol out of them. The model is given the prompt without what was understood,
because it would often draw just that. What no direction can do stays in the prompt and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from directrix.deprecation import renamed
from directrix.directions.collection import Catalogue, Directions, keeps_out
from directrix.directions.names import matches
from directrix.errors import PolicyError
from directrix.interventions.protocol import Plan
from directrix.interventions.steering import Settings
from directrix.policies.balance import UNIFORM, Balance, Categories, ProbeFiles, load_probes, sets_of, whole_settings
from directrix.policies.plan import Request, realise, unplanned
from directrix.policies.safe import DEFAULT, Safe, category_of

if TYPE_CHECKING:
    from directrix.policies.wording.types import Understanding


class Enhance:
    """Does what each prompt asks for: a planner. Prompts that ask for nothing keep their very bits.

    Args:
        directions: of the attributes' categories, and anti-concepts; see `Catalogue`.
        phrases: files of one's own phrases, besides the shipped ones; or a `Phrases`.
        rewrite: whether the model is given the prompt without what was understood.
        combine: how several anti-concepts act together; see `Safe`.
        sets, strengths, project_and_set, feedback: as in `Fair`.
        safe: further categories of safety, and their settings in place of `combine` and the window.
        understand: reads a prompt in place of `directrix.policies.wording.understand.understand`.
        branch, start, stop: as in `steer`.
    """

    @renamed(replace="project_and_set", hold="feedback")
    def __init__(
        self,
        directions: Directions,
        phrases: Any = None,
        rewrite: bool = True,
        *,
        combine: str = DEFAULT,
        sets: Mapping[str, Categories] | None = None,
        strengths: Mapping[str, float] | None = None,
        safe: Safe | None = None,
        understand: Callable[..., Any] | None = None,
        project_and_set: bool | None = None,
        feedback: ProbeFiles = (),
        **steered: Unpack[Settings],
    ) -> None:
        self.catalogue = Catalogue.of(directions, strengths)
        self.rewrite = bool(rewrite)
        self._window = whole_settings(self, steered)
        self.project_and_set = project_and_set
        self._sets = sets_of(sets)
        self._probes = load_probes(feedback, self._sets, project_and_set)
        effects = {name: self.catalogue.effect(name) for name in self.catalogue.names}
        anti = {name: each for name, each in effects.items() if all(map(keeps_out, each))}
        base = safe or Safe([], combine, {}, **self._window)
        taken = {each for effect in base.categories.values() for each in effect}
        self.safe = base.with_categories({name: each for name, each in anti.items() if taken.isdisjoint(each)})
        self._phrases = phrases
        files = [phrases] if isinstance(phrases, str | Path) else phrases
        self._files = [str(each) for each in files] if isinstance(files, list | tuple) else []
        self._understand = understand
        self._balances: dict[str, Balance | None] = {}
        self.balances()  # raises where a probe does not go with what it is to act on

    @property
    def name(self) -> str:
        """What tables call it."""
        return "enhance"

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values; what a prompt switched on is in the plan's intervention."""
        names = self.catalogue.names
        return {
            "method": "enhance",
            "rewrite": self.rewrite,
            "phrases": self._files,
            "directions": [{"name": name, "digest": self.catalogue.direction(name).digest()} for name in names],
            "combine": self.safe.combine,
            "project_and_set": self.project_and_set,
            **({"feedback": [each.digest() for each in self._probes]} if self._probes else {}),
            **self._window,
        }

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Raises DirectrixError: without prompts there is nothing to apply."""
        unplanned(self.name)

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        """Which image gets which directions, and which prompt the model is given."""
        requests = [self.request(each) for each in prompts]
        return realise(requests, prompts, images_per_prompt, seed, self.safe.over)

    def request(self, prompt: str) -> Request:
        """What one prompt asks for, as far as there are directions for it."""
        understood = self._read(prompt)
        balances: dict[str, Balance] = {}
        absent: set[str] = set()
        failed = []
        for switch in understood.switches:
            if switch.kind == "balance":
                found = self._balance(switch.name)
                if found:
                    balances[found.target.attribute] = found
            else:
                found = category_of(switch.name, self.safe.categories)
                if found:
                    absent.add(found)
            if not found:
                failed.append(switch)
        # A phrase that only a part could be made of stays in the prompt, whole.
        done = tuple(
            each
            for each in understood.switches
            if not any(each.start < other.end and other.start < each.end for other in failed)
        )
        rewritten = replace(understood, switches=done).rewritten if self.rewrite and done else prompt
        unmet = dict.fromkeys((*(each.name for each in failed), *understood.unknown))
        return Request(
            rewritten if rewritten.strip() else prompt, tuple(balances.values()), frozenset(absent), tuple(unmet)
        )

    def balances(self) -> list[Balance]:
        """What a prompt may have balanced."""
        return [found for name in self._sets if (found := self._balance(name))]

    def _balance(self, attribute: str) -> Balance | None:
        if attribute not in self._balances:
            found = matches(attribute, self._sets)
            self._balances[attribute] = self._balance_of(found[0]) if len(found) == 1 else None
        return self._balances[attribute]

    def _balance_of(self, attribute: str) -> Balance | None:
        given = (self._sets, self.catalogue, self._window, self.project_and_set, self._probes)
        try:
            return Balance.of(attribute, UNIFORM, *given)
        except PolicyError:
            # A category lacks its direction: half an attribute cannot be balanced.
            return None

    def _read(self, prompt: str) -> Understanding:
        if self._understand is None:
            # The grammar is only loaded where a prompt is read.
            from directrix.policies.wording import Phrases, understand

            self._understand = understand
            if self._files:
                self._phrases = Phrases.load(*self._files)
        return self._understand(prompt) if self._phrases is None else self._understand(prompt, self._phrases)
