"""Prompts under a policy: the same seeds plain and under it, what was assigned, and what a judge counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from directrix.errors import ConceptError, PolicyError
from directrix.models import embedded
from directrix.studio.artist import Artist
from directrix.studio.jobs import Job
from directrix.studio.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PROMPTS = 4
ATTRIBUTES = ("gender", "skin tone")
ABSENT = {"weapon": "no weapon", "alcohol": "no alcohol", "smoking": "no smoking"}


@dataclass(frozen=True)
class PolicyForm:
    """What the form of the page says.

    Args:
        fair: of `ATTRIBUTES`, those with equal shares.
        absent: of `ABSENT`, what is in no image.
        enhance: whether prompts may ask for it in words.
    """

    fair: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    enhance: bool = False

    def settings(self, directions: Any) -> dict[str, Any]:
        """As a policy file has it. Raises PolicyError where nothing is chosen."""
        if not (self.fair or self.absent or self.enhance):
            raise PolicyError("The policy says nothing.", "at least one choice.", "equal shares of genders.")
        settings: dict[str, Any] = {"directions": directions}
        if self.fair:
            settings["fair"] = dict.fromkeys(self.fair, "uniform")
        if self.absent:
            settings["safe"] = {"always": list(self.absent), "combine": "sum"}
            settings["safe"]["categories"] = {name: ABSENT[name] for name in self.absent}
        if self.enhance:
            settings["enhance"] = True
        return settings

    def yaml(self) -> str:
        """The policy file, for directions in a folder beside it."""
        import yaml

        return yaml.safe_dump(self.settings(["starters/"]), sort_keys=False)


@dataclass(frozen=True)
class Outcome:
    """One image: unsteered and under the policy, and why.

    assigned: its category of each attribute; unchanged: whether the policy left every bit as it was.
    """

    prompt: str
    plain: Image
    policed: Image
    assigned: Mapping[str, str]

    @property
    def unchanged(self) -> bool:
        """Whether both images have the same bits."""
        return self.plain.tobytes() == self.policed.tobytes()


@dataclass(frozen=True)
class PolicyResult:
    """The images, sentences about what the policy left alone, and how often a judge sees each label.

    counts: by attribute and label, images of the plain and of the other ones; empty for models that no judge knows.
    """

    said: tuple[str, ...]
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    counts: Mapping[str, Mapping[str, tuple[int, int]]]


def prompts_of(text: str) -> list[str]:
    """One prompt a line. Raises ConceptError where there are none or too many."""
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise ConceptError(f"There are {len(prompts)} prompts.", f"1 to {MOST_PROMPTS}, one a line.", "a judge.")
    return prompts


def run(
    job: Job, artist: Artist, model: str, prompts: Sequence[str], images: int, seed: int, form: PolicyForm
) -> PolicyResult:
    """The prompts' images plain and under the policy. Raises what `directrix.generate` raises, and Cancelled."""
    from directrix.policies.gates.gate import notes
    from directrix.policies.policy import Policy

    for prompt in prompts:
        Recipe(model, prompt, seed, images)  # raises where one is too long, or the numbers make no sense
    policy = Policy.of(form.settings(list(artist.given(model).values())))
    plain = artist.rows(job, model, prompts, images, seed, (), "Drawing plain images")
    policed = artist.rows(job, model, prompts, images, seed, policy, "Drawing under the policy")
    outcomes = tuple(
        Outcome(after.prompt, before.image, after.image, dict(after.row.get("assigned") or {}))
        for before, after in zip(plain, policed, strict=True)
    )
    gates = {each.prompt: each.row.get("gates", {}) for each in policed}
    job.check()
    counted = _counts(outcomes) if model in embedded.MODELS else {}
    return PolicyResult(tuple(policy.lines()), tuple(notes(list(gates), list(gates.values()))), outcomes, counted)


@cache
def _judge() -> Any:
    from directrix.measurement import judges

    return judges.load("emoji")


def _counts(outcomes: Sequence[Outcome]) -> dict[str, dict[str, tuple[int, int]]]:
    """What the judge of the embedded models sees, plain and under the policy."""
    sides = []
    for images in ([each.plain for each in outcomes], [each.policed for each in outcomes]):
        verdicts = _judge().label(images)
        names = ("gender", "tone", "item category")
        sides.append({name: Counter(each[name].label or "not sure" for each in verdicts) for name in names})
    before, after = sides
    return {
        name: {label: (before[name][label], after[name][label]) for label in sorted({*before[name], *after[name]})}
        for name in before
    }
