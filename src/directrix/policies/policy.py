"""A policy: one file that says what is fair, what is kept out and whether prompts may ask for it.

    directions: [directions/]         # files and folders, beside the policy
    fair: {gender: uniform}           # for every prompt
    safe: [weapon]                    # in every image
    enhance: true                     # what a prompt asks for in words

Where `fair` and a prompt's own words concern the same attribute, the target of `fair` holds: it is the decision of
whoever runs the model, and it holds for all prompts alike. The words are then met all the same if that target is
even, and the model is still given the prompt without them. `fair` acts on prompts about one person that leave the
attribute open; `gate` says what becomes of the others (`directrix.policies.gates.gate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

from directrix.directions.collection import Effect
from directrix.directions.target_label import TargetLabel
from directrix.errors import PolicyError
from directrix.interventions.preview import Looking
from directrix.interventions.protocol import Intervention
from directrix.interventions.reading import ABSENT
from directrix.policies.balance import projects
from directrix.policies.enhance import Enhance
from directrix.policies.fair import Fair
from directrix.policies.plan import Request, RequestPlanner
from directrix.policies.safe import Safe
from directrix.reading import yaml_text
from directrix.reading.source import Source


class Policy(RequestPlanner):
    """Fair, safe and text-enhancing generation together: a planner (see `directrix.interventions.protocol`).

    Args:
        fair, safe, enhance: the parts; at least one.

    Raises:
        PolicyError: no part at all.
    """

    def __init__(self, fair: Fair | None = None, safe: Safe | None = None, enhance: Enhance | None = None) -> None:
        self._parts = [part for part in (fair, safe, enhance) if part is not None]
        if not self._parts:
            raise PolicyError("The policy says nothing.", "fair, safe or enhance.", "fair: {gender: uniform}.")
        self.fair, self.safe, self.enhance = fair, safe, enhance
        self._safe = safe
        if enhance is not None:
            self._safe = safe.with_categories(enhance.safe.categories) if safe else enhance.safe

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Policy:
        """Reads a YAML file; paths in it are relative to its folder.

        Raises:
            PolicyError: no such file, or it says something that cannot be done; the message names the key.
        """
        from directrix.policies import policy_file

        path = Path(path)
        with policy_file.placed(str(path)):
            missing = "`directrix policy --starter` writes one to begin with."
            source = Source(path, PolicyError, "a YAML file.", missing, f"The policy '{path}'")
            content = yaml_text.read(source)
            return cls(*policy_file.parts(content, str(path), path.parent))

    @classmethod
    def of(cls, settings: Mapping[str, Any], folder: str | PathLike[str] = ".") -> Policy:
        """From what a YAML file would hold. Directions may be given in place of their files.

        Raises:
            PolicyError: it says something that cannot be done; the message names the key.
        """
        from directrix.policies import policy_file

        return cls(*policy_file.parts(settings, "policy", Path(folder)))

    @property
    def unread(self) -> Mapping[str, Mapping[str, Effect]]:
        """What waits for a judge that reads it half-way: attributes and categories of harm, and the effects of each."""
        balances = self.fair.balances if self.fair else ()
        waiting: dict[str, Mapping[str, Effect]] = {
            each.target.attribute: each.effects for each in balances if each.waits_for_a_judge
        }
        if self._safe is not None:
            effects = self._safe.categories
            waiting |= {name: {ABSENT: effects[name]} for name, each in self._safe.previews.items() if not each.judge}
        return waiting

    def read_by(self, judge: Looking, labels: Mapping[str, Mapping[str, TargetLabel]] | None = None) -> Policy:
        """The same, with this judge for all that is `unread`; see `Fair.read_by`.

        labels: what it sees, by attribute or category of harm; None for what the directions were calibrated on.
        """
        new = copy(self)
        new.fair = self.fair.read_by(judge, labels) if self.fair else None
        absent = {name: each[ABSENT] for name, each in (labels or {}).items() if ABSENT in each}
        new.safe, new._safe = (each and each.read_by(judge, absent or None) for each in (self.safe, self._safe))
        new._parts = [part for part in (new.fair, new.safe, self.enhance) if part is not None]
        return new

    @property
    def name(self) -> str:
        """Such as "policy: fair gender; safe weapon; enhance"."""
        return "policy: " + "; ".join(part.name for part in self._parts)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        return {"method": "policy", "parts": [dict(part.config) for part in self._parts]}

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Applies a policy that is only safe; others depend on prompts and raise DirectrixError."""
        return self.safe.applied(pipeline) if self.safe and self._parts == [self.safe] else super().applied(pipeline)

    def keep_out(self, absent: Sequence[frozenset[str]]) -> Intervention:
        """The intervention that keeps categories of harm out image by image."""
        assert self._safe is not None
        return self._safe.over(absent)

    def request(self, prompt: str) -> Request:
        """What one prompt is to get."""
        request = self.enhance.request(prompt) if self.enhance else Request(prompt)
        always = self.safe.on if self.safe else frozenset()
        fair = self.fair.request(prompt) if self.fair else Request(prompt)
        decided = {each.target.attribute for each in fair.balances}
        asked = tuple(each for each in request.balances if each.target.attribute not in decided)
        gates = {**fair.gates, **{name: each for name, each in request.gates.items() if name not in decided}}
        return replace(request, balances=fair.balances + asked, absent=request.absent | always, gates=gates)

    def lines(self) -> list[str]:
        """What the policy does, in plain sentences."""
        from jinja2 import StrictUndefined, Template

        own = self.fair.balances if self.fair else ()
        balances = (*own, *(self.enhance.balances.values() if self.enhance else ()))
        projecting = [each for each in balances if projects([each.effects], each.project_and_set, each.window)]
        template = Template(_text("policy.txt.jinja"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
        text = template.render(policy=self, safe=self._safe, own=own, balances=balances, projecting=projecting)
        return [line for line in text.splitlines() if line]

    def _repr_html_(self) -> str:
        """What notebooks show."""
        from html import escape

        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.lines()) + "</ul>"


def starter() -> str:
    """A policy to begin with, as YAML with comments."""
    return _text("starter.yaml")


def _text(name: str) -> str:
    return resources.files("directrix.policies").joinpath(name).read_text(encoding="utf-8")
