"""A policy: one file that says what is fair, what is kept out and whether prompts may ask for it.

    directions: [directions/]         # files and folders, beside the policy
    fair: {gender: uniform}           # for every prompt
    safe: [weapon]                    # in every image
    enhance: true                     # what a prompt asks for in words

Where `fair` and a prompt's own words concern the same attribute, the target of `fair` holds: it is the decision of
whoever runs the model, and it holds for all prompts alike. The words are then met all the same if that target is
even, and the model is still told the prompt without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

from directrix.directions.collection import Catalogue
from directrix.directions.names import matches
from directrix.errors import PolicyError
from directrix.interventions.protocol import Plan
from directrix.policies import policy_file
from directrix.policies.enhance import Enhance
from directrix.policies.fair import Fair, sets_of
from directrix.policies.plan import Request, Window, realise, replaces, unplanned
from directrix.policies.policy_file import Place
from directrix.policies.probes import load_probes
from directrix.policies.safe import COMBINATIONS, DEFAULT, Safe

_KEYS = ("directions", "strengths", "attributes", "fair", "safe", "enhance", "replace", "hold", "steer")


class Policy:
    """Fair, safe and text-enhancing generation together: a planner (see `directrix.interventions.protocol`).

    Args:
        fair, safe, enhance: the parts; at least one.

    Raises:
        PolicyError: no part at all.
    """

    def __init__(self, fair: Fair | None = None, safe: Safe | None = None, enhance: Enhance | None = None) -> None:
        if fair is None and safe is None and enhance is None:
            raise PolicyError("The policy says nothing.", "fair, safe or enhance.", "fair: {gender: uniform}.")
        self.fair = fair
        self.safe = safe
        self.enhance = enhance
        self._safe = safe
        if enhance is not None:
            extra = {name: each for name, each in enhance.safe.categories.items()}
            self._safe = enhance.safe if safe is None else safe.with_categories(extra)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Policy:
        """Reads a YAML file; paths in it are relative to its folder.

        Raises:
            PolicyError: no such file, or it says something that cannot be done; the message names the key.
        """
        path = Path(path)
        return cls._of(Place(policy_file.read(path), str(path)), path.parent)

    @classmethod
    def of(cls, settings: Mapping[str, Any], folder: str | PathLike[str] = ".") -> Policy:
        """From what a YAML file would hold. Directions may be given in place of their files.

        Raises:
            PolicyError: it says something that cannot be done; the message names the key.
        """
        return cls._of(Place(settings, "policy"), Path(folder))

    @classmethod
    def _of(cls, place: Place, folder: Path) -> Policy:
        place.mapping(_KEYS)
        catalogue = _catalogue(place, folder)
        window = _window(place.at("steer"))
        sets = _sets(place.at("attributes"), catalogue)
        replace = place.at("replace").flag() if place.value.get("replace") is not None else None
        with place.at("hold").named():
            feedback = load_probes(place.value.get("hold"), sets_of(sets), replace, folder)
        fair = safe = enhance = None
        if place.value.get("fair") is not None:
            part = place.at("fair")
            part.mapping()
            for attribute in part.value:
                # One by one, so that an error names its attribute.
                with part.at(attribute).named():
                    Fair({attribute: part.value[attribute]}, catalogue, sets=sets, **window)
            with part.named():
                asked = place.value.get("enhance") not in (None, False)
                mine = [each for each in feedback if not asked or matches(each.attribute, part.value)]
                fair = Fair(part.value, catalogue, sets=sets, replace=replace, feedback=mine, **window)
        if place.value.get("safe") is not None:
            safe = _safe(place.at("safe"), catalogue, window)
        if place.value.get("enhance") not in (None, False):
            settings = {"sets": sets, "safe": safe, "replace": replace, "feedback": feedback, **window}
            enhance = _enhance(place.at("enhance"), catalogue, settings, folder)
        given = {"replace": replace is not None and f"is {str(replace).lower()}", "hold": feedback and "is given"}
        for key, said in given.items():
            if said and fair is None and enhance is None:
                raise PolicyError(
                    f"{place.at(key)} {said}, but nothing is balanced.", "fair or enhance.", "leave it out."
                )
        with place.named():
            return cls(fair, safe, enhance)

    @property
    def name(self) -> str:
        """Such as "policy: fair gender; safe weapon; enhance"."""
        return "policy: " + "; ".join(part.name for part in (self.fair, self.safe, self.enhance) if part)

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings as JSON values."""
        parts = [part for part in (self.fair, self.safe, self.enhance) if part]
        return {"method": "policy", "parts": [dict(part.config) for part in parts]}

    def applied(self, pipeline: Any) -> AbstractContextManager[Any]:
        """Applies a policy that is only safe; others depend on prompts and raise DirectrixError."""
        if self.safe is None or self.fair is not None or self.enhance is not None:
            unplanned("policy")
        return self.safe.applied(pipeline)

    def plan(self, prompts: Sequence[str], images_per_prompt: int, seed: int) -> Plan:
        """Which image gets which directions, and what the model is told."""
        requests = [self._request(each) for each in prompts]
        return realise(requests, prompts, images_per_prompt, seed, self._safe)

    def lines(self) -> list[str]:
        """What the policy does, in plain sentences."""
        rewritten: list[str] = []
        for each in self.fair.balances if self.fair else ():
            shares = ", ".join(f"{name} {float(share):.1%}" for name, share in each.target.shares if share)
            rewritten.append(f"Every prompt's images are spread over {each.target.attribute}: {shares}.")
        if self._safe is not None:
            on = [name for name in self._safe.categories if name in self._safe.on]
            off = [name for name in self._safe.categories if name not in self._safe.on]
            if on:
                how = f"; several at once: {self._safe.combine}" if len(on) > 1 else ""
                rewritten.append(f"Kept out of every image: {', '.join(on)}{how}.")
            if self._safe.retain:
                rewritten.append(f"Never taken for any of it: {', '.join(each.name for each in self._safe.retain)}.")
            if off and self.enhance:
                rewritten.append(f"Kept out where a prompt asks for it: {', '.join(off)}.")
            elif off:
                rewritten.append(f"Never kept out, because 'enhance' is off: {', '.join(off)}.")
        asked = self.enhance.attributes() if self.enhance else []
        if asked:
            rewritten.append(f"Balanced where a prompt asks for it: {', '.join(asked)}.")
        balances = (*(self.fair.balances if self.fair else ()), *(self.enhance.balances() if self.enhance else ()))
        ways = {each.replace for each in balances if replaces([each.effects], each.replace, each.window)}
        held = dict.fromkeys(each.target.attribute for each in balances if each.probe is not None)
        if ways:
            where = "" if True in ways or held else ", wherever guidance tells it"
            rewritten.append(f"What a prompt itself says of what is balanced is taken out first{where}.")
        if held:
            rewritten.append(f"Pictures that drift are brought back, by a gauge of {', '.join(held)}.")
        if self.enhance:
            rewritten.append(
                "The model is told each prompt without what was understood of it."
                if self.enhance.rewrite
                else "The model is told each prompt as it is."
            )
        return rewritten

    def _request(self, prompt: str) -> Request:
        request = self.enhance.request(prompt) if self.enhance else Request(prompt)
        always = self.safe.on if self.safe else frozenset()
        own = self.fair.balances if self.fair else ()
        decided = {each.target.attribute for each in own}
        asked = tuple(each for each in request.balances if each.target.attribute not in decided)
        return replace(request, balances=own + asked, absent=request.absent | always)


def starter() -> str:
    """A policy to begin with, as YAML with comments."""
    return resources.files("directrix.policies").joinpath("starter.yaml").read_text(encoding="utf-8")


def _catalogue(place: Place, folder: Path) -> Catalogue:
    part = place.at("directions")
    given = part.value
    if given is None or given == []:
        raise PolicyError(f"{part} is empty.", "files of directions, or folders of them.", "directions: [directions/].")
    strengths = place.at("strengths")
    if strengths.value is not None:
        for name in strengths.mapping():
            strengths.at(name).number()
    with part.named():
        catalogue = Catalogue(_below(folder, given))
    with strengths.named():
        return Catalogue.of(catalogue, strengths.value)


def _below(folder: Path, given: Any) -> Any:
    """Files and folders, relative to the policy's; anything else as it is."""
    if isinstance(given, str | Path):
        return folder / Path(given).expanduser()
    if isinstance(given, Mapping):
        return {name: _below(folder, each) for name, each in given.items()}
    return [_below(folder, each) for each in given] if isinstance(given, list | tuple) else given


def _window(place: Place) -> Window:
    if place.value is None:
        return Window()
    given = place.mapping(("branch", "start", "stop"))
    window = Window()
    if "branch" in given:
        window["branch"] = place.at("branch").names()[0]
    if "start" in given:
        window["start"] = place.at("start").number()
    if "stop" in given:
        window["stop"] = place.at("stop").number()
    with place.named():
        Safe([], categories={}, **window)
    return window


def _sets(place: Place, catalogue: Catalogue) -> dict[str, Any]:
    """Attribute sets of the policy's own."""
    if place.value is None:
        return {}
    sets = {}
    for name, categories in place.mapping().items():
        part = place.at(name)
        if not isinstance(categories, Mapping):
            part.names()
        if len(categories) < 2:
            raise part.wrong("two or more categories.", "[young, old].")
        whole = dict(categories) if isinstance(categories, Mapping) else {each: each for each in categories}
        for category, what in whole.items():
            with (part.at(category) if isinstance(categories, Mapping) else part).named():
                catalogue.effect(what)
        sets[str(name)] = whole
    return sets


def _safe(place: Place, catalogue: Catalogue, window: Window) -> Safe:
    if isinstance(place.value, str | list):
        names = place.names()
        with place.named():
            return Safe(catalogue, categories={name: name for name in names}, **window)
    given = place.mapping(("always", "combine", "categories", "spare"))
    if not given:
        raise place.wrong("categories that are kept out.", "safe: [weapon].")
    combine = place.at("combine").names()[0] if "combine" in given else DEFAULT
    always = place.at("always").names() if given.get("always") is not None else None
    categories = None
    if given.get("categories") is not None:
        part = place.at("categories")
        categories = dict(part.mapping())
        for name, what in categories.items():
            with part.at(name).named():
                # A way that does not exist is told of the whole, below.
                known = combine if combine in COMBINATIONS else DEFAULT
                Safe(catalogue, known, categories={name: what}, **window)
    elif always is not None:
        categories = {name: name for name in always}
    else:
        raise place.wrong("`always` or `categories`.", "safe: {always: [weapon]}.")
    retain = place.at("spare").names() if given.get("spare") is not None else ()
    with place.named():
        return Safe(catalogue, combine, categories, on=always, retain=retain, **window)


def _enhance(place: Place, catalogue: Catalogue, settings: Mapping[str, Any], folder: Path) -> Enhance:
    phrases = None
    rewrite = True
    if place.value is not True:
        if not isinstance(place.value, Mapping):
            raise place.wrong("true, false, or settings.", "enhance: true.")
        given = place.mapping(("rewrite", "phrases"))
        rewrite = place.at("rewrite").flag() if "rewrite" in given else True
        if given.get("phrases") is not None:
            part = place.at("phrases")
            phrases = [folder / Path(each).expanduser() for each in part.names()]
            for each in phrases:
                if not each.is_file():
                    raise PolicyError(f"{part}: there is no file '{each}'.", "a YAML file of phrases.")
    with place.named():
        return Enhance(catalogue, phrases, rewrite, **settings)
