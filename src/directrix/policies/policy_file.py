"""What may stand in a policy file. Errors name the file, the key and the nearest right one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from directrix.checks import validated
from directrix.deprecation import upgraded
from directrix.directions.collection import Catalogue, matches
from directrix.directions.target_label import TargetLabel
from directrix.errors import DirectrixError, PolicyError
from directrix.interventions.steering import Settings, Steering
from directrix.policies.balance import Attributes, SteeredBalancing
from directrix.policies.enhance import Enhance
from directrix.policies.fair import Fair
from directrix.policies.gates.gate import MEET, Gate
from directrix.policies.safe import COMBINATIONS, DEFAULT, OLD_COMBINATIONS, Safe
from directrix.reading.names import path_of

Name = Annotated[str, StringConstraints(pattern=r"\S")]
# One name is a list of one.
Names = Annotated[list[Name], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
# A list of one is one name.
One = Annotated[Name, BeforeValidator(lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value)]


def _text_keys(value: Any) -> Any:
    """The value with numbers that stand for names, which YAML needs no quotes around, as text."""
    if not isinstance(value, Mapping):
        return value
    numbers = (key for key in value if isinstance(key, int | float) and not isinstance(key, bool))
    texts = {key: str(key) for key in numbers}
    return {texts.get(key, key): _text_keys(each) for key, each in value.items()}


# What version 0.1 called them.
_OLD = {"replace": "project_and_set", "hold": "feedback"}


class Steer(BaseModel, strict=True, extra="forbid"):
    """The branch of guidance and the steps that are steered."""

    branch: One = "conditional"
    start: float = 0.0
    stop: float = 1.0


class SafePart(BaseModel, strict=True, extra="forbid"):
    """What is kept out, as the arguments of `Safe`; `always` is its `on`."""

    always: Names | None = None
    combine: One = DEFAULT
    categories: Mapping[str, Any] | None = None
    retain: Names | None = None
    closed_loop: One | None = None
    sure: float | None = None
    opposed: float = 0.0
    labels: Mapping[str, str] | None = None


class GatePart(BaseModel, strict=True, extra="forbid"):
    """Which prompts `fair` acts on, as the arguments of `Gate`."""

    stated: One = MEET
    groups: One = "leave"
    others: One = "leave"
    unsure: One = "leave"
    people: Names = []


class EnhancePart(BaseModel, strict=True, extra="forbid"):
    """How prompts may ask for it, as the arguments of `Enhance`."""

    rewrite: bool = True
    phrases: Names | None = None


class PolicyFile(BaseModel, strict=True, extra="forbid", arbitrary_types_allowed=True):
    """A whole policy. Directions, targets and probes are checked by what they are given to."""

    directions: Any = None
    strengths: Mapping[str, float] | None = None
    attributes: Mapping[str, Annotated[Mapping[str, Any] | Names, Field(min_length=2)]] | None = None
    fair: Mapping[str, Any] | None = None
    gate: bool | GatePart | None = None
    safe: Names | SafePart | None = None
    enhance: bool | EnhancePart | None = None
    project_and_set: bool | None = None
    feedback: Any = None
    closed_loop: Any = None
    steer: Steer | None = None

    @classmethod
    def of(cls, content: Any, place: str) -> PolicyFile:
        """The policy that a file holds, under the names of today; PolicyError where a key or value is wrong."""
        if isinstance(content, Mapping):
            content = upgraded(content, _OLD)
            if isinstance(content.get("safe"), Mapping):
                content["safe"] = upgraded(content["safe"], {"spare": "retain"})
            for key in ("strengths", "attributes", "fair", "safe"):
                content |= {key: _text_keys(content[key])} if key in content else {}
        try:
            return validated(cls, content, place, PolicyError)
        except PolicyError as error:
            remedies = {place: f"keys {', '.join(cls.model_fields)}.", f"{place} > enhance": "enhance: true."}
            remedy = (each for where, each in remedies.items() if error.happened.startswith(f"{where} is "))
            raise PolicyError(error.happened, error.expected, next(remedy, error.remedy)) from error


@contextmanager
def placed(*keys: str) -> Iterator[None]:
    """Puts the place, a file and its keys, before the message of any error that is raised inside."""
    try:
        yield
    except DirectrixError as error:
        if isinstance(error, PolicyError) and error.happened.startswith(keys[0]):
            raise
        raise PolicyError(f"{' > '.join(keys)}: {error.happened}", error.expected, error.remedy) from error


def parts(content: Any, source: str, folder: Path) -> tuple[Fair | None, Safe | None, Enhance | None]:
    """The parts of the policy that a file holds, which errors call `source` and whose paths are relative to `folder`.

    Raises:
        PolicyError: it says something that cannot be done; the message names the key.
    """
    file = PolicyFile.of(content, source)
    if file.directions in (None, []):
        raise PolicyError(
            f"{source} > directions is empty.", "files of directions, or folders of them.", "[directions/]."
        )
    with placed(source, "directions"):
        catalogue = Catalogue(_below(folder, file.directions))
    with placed(source, "strengths"):
        catalogue = Catalogue.of(catalogue, file.strengths)
    window = Settings(**(file.steer or Steer()).model_dump())
    with placed(source, "steer"):
        Steering({}, **window)
    sets = dict(file.attributes or {})
    for name, categories in sets.items():
        for category in categories:
            with placed(source, "attributes", name, category):
                catalogue.effect(categories[category] if isinstance(categories, Mapping) else category)
    with placed(source, "feedback" if file.closed_loop is None else "closed_loop"):
        given: dict[str, Any] = {"feedback": file.feedback, "closed_loop": file.closed_loop}
        settings = SteeredBalancing(sets=sets, project_and_set=file.project_and_set, **given, **window)
        known = Attributes(file, catalogue, settings, folder)
        probes, loop = list(known.probes.values()), known.loop
    balanced: dict[str, Any] = {"sets": sets, "project_and_set": file.project_and_set, **window}
    asked = EnhancePart() if file.enhance is True else file.enhance or None
    if file.fair is None and asked is None and (probes or file.project_and_set is not None):
        key, said = ("feedback", "given") if probes else ("project_and_set", f"{file.project_and_set}".lower())
        raise PolicyError(f"{source} > {key} is {said}, but nothing is balanced.", "fair or enhance.", "leave it out.")
    gate: Any = file.gate
    if isinstance(gate, GatePart):
        with placed(source, "gate"):
            people = [str(folder / Path(each).expanduser()) for each in gate.people]
            gate = Gate.of({**gate.model_dump(), "people": people})
    if file.fair is None and loop:
        raise PolicyError(f"{source} > closed_loop is given, but nothing is balanced.", "fair.", "leave it out.")
    if file.fair is None and gate is not None:
        raise PolicyError(f"{source} > gate says what 'fair' acts on, which is not there.", "fair.", "leave it out.")
    fair = enhance = None
    if file.fair is not None:
        for attribute, shares in file.fair.items():
            # One by one, so that an error names its attribute.
            with placed(source, "fair", attribute):
                Fair({attribute: shares}, catalogue, sets=sets, **window)
        with placed(source, "fair"):
            mine = [each for each in probes if asked is None or matches(each.attribute, file.fair)]
            fair = Fair(file.fair, catalogue, gate, feedback=mine, closed_loop=loop, **balanced)
    safe = None if file.safe is None else _safe(file.safe, source, catalogue, window)
    if asked is not None:
        phrases = [folder / path_of(each, PolicyError) for each in asked.phrases or ()]
        for each in phrases:
            if not each.is_file():
                raise PolicyError(
                    f"{source} > enhance > phrases: there is no file '{each}'.", "a YAML file of phrases."
                )
        with placed(source, "enhance"):
            enhance = Enhance(catalogue, phrases or None, asked.rewrite, safe=safe, feedback=probes, **balanced)
    return fair, safe, enhance


def _below(folder: Path, given: Any) -> Any:
    """Files and folders, relative to the policy's; anything else as it is."""
    if isinstance(given, str | Path):
        return folder / path_of(given, PolicyError)
    if isinstance(given, Mapping):
        return {name: _below(folder, each) for name, each in given.items()}
    return [_below(folder, each) for each in given] if isinstance(given, list | tuple) else given


def _safe(part: SafePart | list[str], source: str, catalogue: Catalogue, window: Settings) -> Safe:
    part = SafePart(always=part) if isinstance(part, list) else part
    if part.categories is None and part.always is None:
        raise PolicyError(
            f"{source} > safe names nothing to keep out.", "`always` or `categories`.", "safe: {always: [weapon]}."
        )
    combine = OLD_COMBINATIONS.get(part.combine, part.combine)
    for name, what in (part.categories or {}).items():
        with placed(source, "safe", "categories", name):
            # A way that does not exist is an error of the whole part, below.
            Safe(catalogue, combine if combine in COMBINATIONS else DEFAULT, {name: what}, **window)
    with placed(source, "safe"):
        whole = {name: name for name in part.always or ()} if part.categories is None else part.categories
        seen = {name: _label(text) for name, text in part.labels.items()} if part.labels else None
        more: dict[str, Any] = {"on": part.always, "retain": part.retain or (), "closed_loop": part.closed_loop}
        return Safe(catalogue, combine, whole, **more, labels=seen, sure=part.sure, opposed=part.opposed, **window)


def _label(text: str) -> TargetLabel:
    """What a judge sees where harm is kept out, from what it sees of it: "item category=weapon"."""
    attribute, _, label = map(str.strip, text.partition("="))
    if not attribute or not label:
        raise PolicyError(f"The label is '{text}'.", "ATTRIBUTE=LABEL.", "labels: {weapon: item category=weapon}.")
    return TargetLabel(attribute, label, present=False)
