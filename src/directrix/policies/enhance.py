"""Text-enhancing generation as an intervention: what a prompt asks for in words is done by directions.

`understand` reads the prompt. "any gender" balances the genders over that prompt's images, each category getting the
same share; "without alcohol" keeps alcohol out of them. The model is given the prompt without what was understood,
because it would often draw just that. What no direction can do stays in the prompt and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from directrix.deprecation import renamed
from directrix.directions.collection import Directions, keeps_out, matches
from directrix.errors import PolicyError
from directrix.interventions.protocol import Intervention
from directrix.policies.balance import UNIFORM, Attributes, Balance, SteeredBalancing
from directrix.policies.gates.gate import ASKED, Decision
from directrix.policies.plan import Request, RequestPlanner
from directrix.policies.safe import DEFAULT, Safe, category_of


class Enhance(RequestPlanner):
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
        safe: Safe | None = None,
        understand: Callable[..., Any] | None = None,
        **settings: Unpack[SteeredBalancing],
    ) -> None:
        self.rewrite = bool(rewrite)
        self._known = Attributes(self, directions, settings)
        catalogue = self._known.catalogue
        effects = {name: catalogue.effect(name) for name in catalogue.names}
        anti = {name: each for name, each in effects.items() if all(map(keeps_out, each))}
        base = safe or Safe([], combine, {}, **self._known.window)
        taken = {each for effect in base.categories.values() for each in effect}
        self.safe = base.with_categories({name: each for name, each in anti.items() if taken.isdisjoint(each)})
        self._phrases = phrases
        files = [phrases] if isinstance(phrases, str | Path) else phrases
        self._files = [str(each) for each in files] if isinstance(files, list | tuple) else []
        self._understand = understand
        # What a prompt may have balanced, by attribute.
        self.balances: dict[str, Balance] = {}
        for name in self._known.sets:
            # Where a category lacks its direction: half an attribute cannot be balanced.
            with suppress(PolicyError):
                self.balances[name] = self._known.balance(name, UNIFORM)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "enhance"

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values; what a prompt switched on is in the plan's intervention."""
        catalogue, probes = self._known.catalogue, self._known.probes
        return {
            "method": "enhance",
            "rewrite": self.rewrite,
            "phrases": self._files,
            "directions": [{"name": each, "digest": catalogue.direction(each).digest()} for each in catalogue.names],
            "combine": self.safe.combine,
            "project_and_set": self._known.project_and_set,
            **({"feedback": [each.digest() for each in probes.values()]} if probes else {}),
            **self._known.window,
        }

    def keep_out(self, absent: Sequence[frozenset[str]]) -> Intervention:
        """The intervention that keeps categories of harm out image by image."""
        return self.safe.over(absent)

    def request(self, prompt: str) -> Request:
        """What one prompt asks for, as far as there are directions for it."""
        understood = self._read(prompt)
        balances: dict[str, Balance] = {}
        gates: dict[str, Decision] = {}
        absent: set[str] = set()
        failed = []
        for switch in understood.switches:
            named = matches(switch.name, self._known.sets) if switch.kind == "balance" else []
            category = category_of(switch.name, self.safe.categories) if switch.kind != "balance" else None
            if len(named) == 1 and named[0] in self.balances:
                balances[named[0]] = self.balances[named[0]]
                gates[named[0]] = Decision(ASKED, switch.phrase, True)
            elif category:
                absent.add(category)
            else:
                failed.append(switch)
        # A phrase that only a part could be made of stays in the prompt, whole.
        done = tuple(
            each
            for each in understood.switches
            if not any(each.start < other.end and other.start < each.end for other in failed)
        )
        rewritten = replace(understood, switches=done).rewritten if self.rewrite and done else prompt
        unmet = dict.fromkeys((*(each.name for each in failed), *understood.unknown))
        given = rewritten if rewritten.strip() else prompt
        return Request(given, tuple(balances.values()), frozenset(absent), tuple(unmet), gates)

    @cached_property
    def _read(self) -> Callable[[str], Any]:
        if self._understand is not None:
            read, phrases = self._understand, self._phrases
        else:
            # The grammar is only loaded where a prompt is read.
            from directrix.policies.wording import Phrases
            from directrix.policies.wording import understand as read

            phrases = Phrases.load(*self._files) if self._files else self._phrases
        return read if phrases is None else lambda prompt: read(prompt, phrases)
