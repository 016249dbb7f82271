"""Words in, direction out: found, drawn, calibrated and measured, each shown as soon as it is there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.concept import Concept
from directrix.errors import ConceptError, DirectrixError
from directrix.reading.names import file_stem
from directrix.studio.artist import Artist, Pairs
from directrix.studio.jobs import Job
from directrix.studio.recipe import MOST_WORDS, Recipe
from directrix.studio.shelf import named

if TYPE_CHECKING:
    from directrix.directions.direction import Direction
    from directrix.directions.target_label import TargetLabel
    from directrix.measurement.judges import Judge
    from directrix.models.steerable import SteerableModel

IMAGES = 4  # that are shown of each kind
# The card's images: of so many prompts, at these strengths beside 0 and 1.
CARD_PROMPTS, CARD_STRENGTHS = 12, (-1.0, 0.5)
MOST_PAIRS = 8


@dataclass(frozen=True)
class Ask:
    """What somebody wants to find.

    Args:
        name: of the direction.
        target, neutral: prompts with and without the concept, one a line; one goes with all of the others.
        label: "attribute: label" that the judge should see; "" to find out.

    Raises:
        ConceptError: no name, no words, too many, or two prompts that are alike.
    """

    model: str
    name: str
    target: str
    neutral: str
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", named(self.name))
        for role in ("target", "neutral"):
            lines = self.lines(role)
            if not 1 <= len(lines) <= MOST_PAIRS or any(len(each) > MOST_WORDS for each in lines):
                happened = f"There are {len(lines)} {role} prompts."
                raise ConceptError(
                    happened, f"1 to {MOST_PAIRS} of up to {MOST_WORDS} characters, one a line.", "a knight."
                )
        _ = self.concept  # raises where the prompts make none

    def lines(self, role: str) -> list[str]:
        """The prompts of "target" or "neutral"."""
        text = getattr(self, role)
        return [each.strip() for each in (text if isinstance(text, str) else "").splitlines() if each.strip()]

    @property
    def concept(self) -> Concept:
        """In the library's words."""
        return Concept.of(self.name, self.lines("target"), self.lines("neutral"))

    @property
    def command(self) -> str:
        """What to type for the same direction."""
        words = ["directrix", "discover", "--model", self.model, "--name", self.name]
        for role in ("target", "neutral"):
            words += [word for each in self.lines(role) for word in (f"--{role}", each)]
        if self.label:
            words += ["--target-label", self.label.replace(": ", "=")]
        return shlex.join([*words, "-o", f"{file_stem(self.name)}.safetensors"])


@dataclass(frozen=True)
class Found:
    """A direction that was found, as far as it is known.

    Args:
        pairs: images of a neutral prompt at strength 1, beside the unsteered ones.
        said: why it was not calibrated or measured; "" where it was, or may still be.
    """

    ask: Ask
    direction: Direction
    pairs: Pairs
    said: str = ""


def labels(model: str) -> list[str]:
    """What the judge of a model can see, as "attribute: label"; none where the judge is asked about words instead."""
    from directrix.measurement import judges
    from directrix.measurement.calibration.target import judge_for_model

    name = judge_for_model(model)
    if name != "emoji":
        return []
    known = getattr(judges.load(name), "labels", {})
    return [f"{attribute}: {label}" for attribute, row in known.items() for label in row]


def find(job: Job, artist: Artist, ask: Ask, folder: Path | None = None) -> Found:
    """Finds a direction by the library's defaults.

    folder: keeps what the judge saw, so that a job that let others go first goes on where it was; None for nowhere.

    Raises what `directrix.discover` raises, Cancelled and Later.
    """
    from directrix.discovery import discover
    from directrix.measurement.calibration.calibrate import calibrate
    from directrix.measurement.calibration.target import judge_for

    with job.bar(1, "Loading the model"):
        model = artist.load(ask.model)
    direction = discover(model, ask.concept, progress=job.bar)
    direction = direction.with_(recipe={**direction.recipe, "command": ask.command})
    found = job.interim
    # There from an earlier turn?
    if not isinstance(found, Found) or found.direction.digest() != direction.digest():
        found = Found(ask, direction, _drawn(job, artist, ask, direction))
        job.show(found)
    try:
        judge, known = judge_for(model, ask.concept)
        label = _label(ask.label) or known
        direction = calibrate(model, direction, judge, target_label=label, checkpoint=folder, progress=job.bar)
    except DirectrixError as error:
        job.check()
        return replace(found, said=str(error))
    if direction.digest() != found.direction.digest():
        found = replace(found, pairs=_drawn(job, artist, ask, direction))
    found = replace(found, direction=direction)
    job.show(found)
    return replace(found, direction=_with_card(job, model, direction, judge, label))


def _label(text: str) -> TargetLabel | None:
    from directrix.directions.target_label import TargetLabel

    attribute, colon, label = text.partition(": ")
    return TargetLabel(attribute, label) if colon else None


def _drawn(job: Job, artist: Artist, ask: Ask, direction: Direction) -> Pairs:
    recipe = Recipe(ask.model, ask.lines("neutral")[0], images=IMAGES, strengths={ask.name: 1.0})
    return artist.pairs(job, recipe, {ask.name: direction})


def _with_card(
    job: Job, model: SteerableModel, direction: Direction, judge: Judge, label: TargetLabel | None
) -> Direction:
    """The direction with a card of few images; `directrix card --again` measures one of more."""
    from directrix.directions.calibrated_on import calibrated_on
    from directrix.measurement.calibration.target import calibration_prompts, concept_of, half_steps
    from directrix.measurement.reports import direction_card

    prompts = calibration_prompts(model, concept_of(direction))
    settings: dict[str, Any] = {"images_per_prompt": 1, "num_inference_steps": half_steps(model)}
    chosen = [prompts[place * len(prompts) // CARD_PROMPTS] for place in range(CARD_PROMPTS)]
    card = direction_card.measure(
        model,
        direction,
        judge,
        target_label=calibrated_on(direction) or label,
        prompts=list(dict.fromkeys(chosen)),
        strengths=CARD_STRENGTHS,
        progress=job.bar,
        **settings,
    )
    return direction.with_(provenance={**direction.provenance, "card": card})
