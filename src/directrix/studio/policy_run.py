"""Prompts under a policy: the same seeds plain and under it, what was assigned, and what a judge counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from directrix.errors import ConceptError, DirectrixError, PolicyError
from directrix.models import embedded
from directrix.policies.gates.gate import notes
from directrix.policies.policy import Policy
from directrix.studio.artist import Artist
from directrix.studio.jobs import Job
from directrix.studio.reasons import reasons
from directrix.studio.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

    from directrix.generation.record import Record

MOST_PROMPTS = 4
ATTRIBUTES = ("gender", "skin tone")
JUDGED = ("gender", "tone", "item category")  # as the judge calls what is counted
ABSENT = {"weapon": "no weapon", "alcohol": "no alcohol", "smoking": "no smoking"}


@dataclass(frozen=True)
class PolicyForm:
    """What the form of the page says.

    Args:
        fair: of `ATTRIBUTES`, those with equal shares.
        absent: of `ABSENT`, what is in no image.
        enhance: whether prompts may ask for it in words.
        women: their share in percent, where genders are balanced.
        closed_loop: whether a judge looks half-way, and images that fit or show no harm are left as they are.
    """

    fair: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    enhance: bool = False
    women: int = 50
    closed_loop: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.women, int) or not 0 <= self.women <= 100:
            raise PolicyError(f"The share of women is {self.women} %.", "0 to 100.", "50, which is even.")

    def settings(self, directions: Any) -> dict[str, Any]:
        """As a policy file has it. Raises PolicyError where nothing is chosen."""
        if not (self.fair or self.absent or self.enhance):
            raise PolicyError("The policy says nothing.", "at least one choice.", "equal shares of genders.")
        settings: dict[str, Any] = {"directions": directions}
        if self.fair:
            shares: dict[str, Any] = dict.fromkeys(self.fair, "uniform")
            settings["fair"] = shares
            if "gender" in self.fair and self.women != 50:
                shares["gender"] = {"woman": self.women / 100, "man": (100 - self.women) / 100}
            if self.closed_loop:
                settings["closed_loop"] = "judge"
        if self.absent:
            # A loop must know what a judge sees of whatever a prompt may ask for, too.
            known = ABSENT if self.closed_loop and self.enhance else self.absent
            settings["safe"] = {"always": list(self.absent), "combine": "sum"}
            settings["safe"]["categories"] = {name: ABSENT[name] for name in known}
            if self.closed_loop:
                settings["safe"]["closed_loop"] = "judge"
                settings["safe"]["labels"] = {name: f"item category={name}" for name in known}
        if self.enhance:
            settings["enhance"] = True
        return settings

    def yaml(self) -> str:
        """The policy file, for directions in a folder beside it."""
        import yaml

        return yaml.safe_dump(self.settings(["starters/"]), sort_keys=False)


@dataclass(frozen=True)
class Outcome:
    """One image: unsteered, and under the policy where it is drawn already.

    assigned: its category of each attribute; reasons: what a closed loop read, and did; unchanged: whether the policy
    left every bit as it was.
    """

    prompt: str
    plain: Image
    policed: Image | None
    assigned: Mapping[str, str]
    reasons: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether both images have the same bits."""
        return self.policed is not None and self.plain.tobytes() == self.policed.tobytes()


@dataclass(frozen=True)
class PolicyResult:
    """The images, sentences about what the policy left alone, and how often a judge sees each label.

    total: images that there will be, plain and under the policy each.
    counts: by attribute and label, images of the plain and of the other ones; empty for models that no judge knows.
    """

    said: tuple[str, ...]
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    counts: Mapping[str, Mapping[str, tuple[int, int]]]
    total: int


def prompts_of(text: str) -> list[str]:
    """One prompt a line. Raises ConceptError where there are none or too many."""
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise ConceptError(f"There are {len(prompts)} prompts.", f"1 to {MOST_PROMPTS}, one a line.", "a judge.")
    return prompts


def loop_possible(artist: Artist, model: str) -> bool:
    """Whether it is known what a judge sees of each category, so that it can look half-way."""
    form = PolicyForm(ATTRIBUTES, closed_loop=True)
    try:
        return bool(Policy.of(form.settings(list(artist.given(model).values()))).unread)
    except DirectrixError:
        return False


def run(
    job: Job, artist: Artist, model: str, prompts: Sequence[str], images: int, seed: int, form: PolicyForm
) -> PolicyResult:
    """The prompts' images plain and under the policy, shown batch by batch.

    Raises what `directrix.generate` raises, and Cancelled.
    """
    from directrix.measurement.calibration.target import read_by_judge

    for prompt in prompts:
        Recipe(model, prompt, seed, images)  # raises where one is too long, or the numbers make no sense
    policy = Policy.of(form.settings(list(artist.given(model).values())))
    if policy.unread:
        with job.bar(1, "Loading the model"):
            policy = read_by_judge(artist.load(model), policy)
    counting = _Counting(policy, len(prompts) * images, model in embedded.MODELS)
    plain = artist.rows(
        job, model, prompts, images, seed, (), "Drawing plain images", lambda rows: job.show(counting.result(rows, ()))
    )
    policed = artist.rows(
        job,
        model,
        prompts,
        images,
        seed,
        policy,
        "Drawing under the policy",
        lambda rows: job.show(counting.result(plain, rows)),
    )
    return counting.result(plain, policed)


class _Counting:
    """Makes results of the images that there are; each is judged once."""

    def __init__(self, policy: Policy, total: int, judged: bool) -> None:
        self._policy, self._total, self._judged = policy, total, judged
        self._labels: tuple[list[Any], list[Any]] = ([], [])

    def result(self, plain: Sequence[Record], policed: Sequence[Record]) -> PolicyResult:
        """The result so far."""
        after = [*policed, *(None for _ in plain[len(policed) :])]
        outcomes = tuple(_outcome(*each) for each in zip(plain, after, strict=True))
        gates = {each.prompt: each.row.get("gates", {}) for each in policed}
        left = tuple(notes(list(gates), list(gates.values())))
        counts = self._counts(plain, policed) if self._judged else {}
        return PolicyResult(tuple(self._policy.lines()), left, outcomes, counts, self._total)

    def _counts(self, *sides: Sequence[Record]) -> dict[str, dict[str, tuple[int, int]]]:
        """What the judge of the embedded models sees, plain and under the policy."""
        for labels, rows in zip(self._labels, sides, strict=True):
            fresh = [each.image for each in rows[len(labels) :]]
            labels += _judge().label(fresh) if fresh else []
        before, after = (
            {name: Counter(each[name].label or "not sure" for each in labels) for name in JUDGED}
            for labels in self._labels
        )
        return {
            name: {label: (before[name][label], after[name][label]) for label in sorted({*before[name], *after[name]})}
            for name in JUDGED
        }


def _outcome(before: Record, after: Record | None) -> Outcome:
    row = after.row if after is not None else {}
    assigned = dict(row.get("assigned") or {})
    return Outcome(before.prompt, before.image, after and after.image, assigned, reasons(row.get("closed_loop") or {}))


@cache
def _judge() -> Any:
    from directrix.measurement import judges

    return judges.load("emoji")
