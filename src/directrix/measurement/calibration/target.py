"""Target labels: what a judge should see of a concept, and the prompts that it is looked for on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from directrix.checks import validated
from directrix.concept import AttributeSet, Concept
from directrix.directions.collection import Effect
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery.checkpoint import NOWHERE, Checkpoint
from directrix.errors import ConceptError, NoEffectError
from directrix.generation.generate import generate
from directrix.interventions.reading import ABSENT, PRESENT
from directrix.measurement import judges
from directrix.measurement.calibration.dose_response import SIGNIFICANCE, SUBJECT, shares
from directrix.measurement.calibration.judged import asked_of, judged
from directrix.measurement.judges.base import Judge, Verdict, Verdicts, for_fitting
from directrix.measurement.metrics import Interval, fisher_test, proportion
from directrix.models import embedded
from directrix.models.steerable import SteerableModel
from directrix.policies.policy import Policy

if TYPE_CHECKING:
    from PIL.Image import Image

# What the words of a concept change is asked after so many rounds of images.
LOOKS = (1, 2, 4)
# Shares that differ by no more are about the same.
ABOUT = 0.1
# Prompts that say already what kind of image they are of.
_PICTURE = re.compile(r"(an? |the )?(photo|picture|image|portrait|headshot|painting|drawing)\b", re.IGNORECASE)


def concept_of(direction: Direction) -> Concept:
    """The concept that a direction was discovered for, from its recipe; ConceptError where it holds none."""
    found = direction.recipe.get("concept")
    if not isinstance(found, Mapping) or not found.get("pairs"):
        raise ConceptError(
            f"The direction '{direction.name}' does not say which prompts it was discovered with.",
            "a direction that `discover` found.",
            "give the concept: calibrate(..., concept=Concept.of(...)).",
        )
    return _concept(direction, found)


def others_of(direction: Direction) -> list[Concept]:
    """The other values of the attribute that a direction was told apart from on the command line, from its recipe."""
    others = direction.recipe.get("others") or ()
    return [_concept(direction, found) for found in (others if isinstance(others, list | tuple) else ())]


def _concept(direction: Direction, found: Any) -> Concept:
    return validated(Concept, found, f"The concept of the direction '{direction.name}'", ConceptError)


def half_steps(model: SteerableModel) -> int:
    """Half of the model's own steps: enough to tell what images show."""
    return max(1, model.facts.num_inference_steps // 2)


def judge_for(
    model: SteerableModel, concept: Concept, *others: Concept, judge: str | None = None
) -> tuple[Judge, TargetLabel | None]:
    """A judge that can see the concept, and what it should see, where that is known beforehand.

    The judge of that name; by default the emoji judge for an embedded model, and CLIP elsewhere. CLIP chooses between
    the concept's words and the others' (the neutral ones, where there are none), and also tells the subjects of
    its neutral prompts apart.
    """
    pairs = concept.pairs
    wanted = [pair.negative or pair.target for pair in pairs]
    other = [pair.target for each in others for pair in each.pairs] or [pair.neutral for pair in pairs]
    prompts = concept.neutral_prompts(model.facts.subjects)
    rest = f"not {concept.name}"
    attributes: dict[str, dict[str, list[str]]] = {"concept": {concept.name: wanted, rest: other}}
    if len(prompts) > 1:
        attributes[SUBJECT] = {prompt: [prompt] for prompt in prompts}
    loaded, asked = _loaded(model, judge, attributes)
    return loaded, TargetLabel("concept", concept.name, present=not concept.anti) if asked else None


def judge_for_model(name: str) -> str:
    """The judge to use unless another is named, for a model of this name."""
    return "emoji" if name in embedded.MODELS else "clip"


def judge_of_values(
    model: SteerableModel, attribute: AttributeSet, judge: str | None = None
) -> tuple[Judge, list[TargetLabel] | None]:
    """A judge that tells all values of an attribute apart, and what it should see of each, as `judge_for` has it."""
    values = {each.name: [pair.target for pair in each.pairs] for each in attribute.concepts}
    loaded, asked = _loaded(model, judge, {attribute.name: values})
    return loaded, [TargetLabel(attribute.name, each) for each in values] if asked else None


def read_by_judge(model: SteerableModel, policy: Policy, name: str | None = None) -> Policy:
    """The policy with a judge for what one is to read half-way (`closed_loop: judge`); the policy itself where none is.

    name: of the judge; None for that of `judge_for_model`. DirectrixError for one that only measures.
    """
    if not policy.unread:
        return policy
    words = {attribute: _words(effects) for attribute, effects in policy.unread.items()}
    loaded, asked = _loaded(model, name, words)
    labels = {name: {each: TargetLabel(name, each) for each in values} for name, values in words.items()}
    return policy.read_by(for_fitting(loaded), labels if asked else None)


def _words(effects: Mapping[str, Effect]) -> dict[str, list[str]]:
    """What CLIP chooses between: the target prompts of each category, and of harm that of its presence."""
    if ABSENT not in effects:
        return {
            category: [pair.target for direction in effect for pair in concept_of(direction).pairs]
            for category, effect in effects.items()
        }
    words: dict[str, list[str]] = {ABSENT: [], PRESENT: []}
    for direction, strength in effects[ABSENT].items():
        for pair in concept_of(direction).pairs:
            # Below 0 a direction draws the harm; above, it leads away from its negative or its neutral prompt.
            present, absent = pair.negative or pair.neutral, pair.target
            if strength < 0:
                present, absent = pair.target, pair.neutral
            words[ABSENT].append(absent)
            words[PRESENT].append(present)
    return words


def _loaded(model: SteerableModel, name: str | None, attributes: Mapping[str, Any]) -> tuple[Judge, bool]:
    """The judge of that name, or of the model; and whether it was asked about the attributes, as CLIP is."""
    name = name or judge_for_model(model.identity.name)
    asked = name.partition(":")[0] == "clip"
    return judges.load(name, **({"attributes": attributes} if asked else {})), asked


def calibration_prompts(model: SteerableModel, concept: Concept) -> list[str]:
    """The concept's neutral prompts, with the subjects of the model's card too, each as it is and as a photo: a few
    words more can change what a strength does."""
    plain = concept.neutral_prompts(model.facts.subjects)
    return [*plain, *(f"a photo of {prompt}" for prompt in plain if not _PICTURE.match(prompt))]


def _most(changes: Mapping[tuple[str, str], float]) -> tuple[str, str]:
    """The label that rises most; a subject that rises about as much is what makes the others rise.

    Where a person becomes a dog, whatever is judged of persons goes too.
    """
    rising = sorted(changes, key=lambda key: (changes[key], key))
    subject = next((key for key in reversed(rising) if key[0] == SUBJECT), rising[-1])
    return subject if changes[subject] >= changes[rising[-1]] - ABOUT else rising[-1]


def _changes(before: Verdicts, after: Verdicts) -> dict[tuple[str, str], float]:
    """How much each label's share rises, by attribute and label."""
    old, new = shares(before), shares(after)
    return {
        (attribute, label): new[attribute].get(label, 0.0) - old[attribute].get(label, 0.0)
        for attribute in old
        for label in {*old[attribute], *new[attribute]}
    }


def _label(changes: Mapping[tuple[str, str], float], concept: Concept) -> TargetLabel:
    # Where something is kept out, what takes its place differs from image to image.
    key = min(changes, key=lambda k: (changes[k], k)) if concept.anti else _most(changes)
    return TargetLabel(*key, present=not concept.anti)


def label_that_changed(before: Verdicts, after: Verdicts, concept: Concept) -> TargetLabel | None:
    """The label whose share changes most from some images to others, as the concept has it; None where none does."""
    changes = _changes(before, after)
    return _label(changes, concept) if any(changes.values()) else None


def find_target_label(
    model: SteerableModel,
    concept: Concept,
    judge: Judge,
    *,
    images: int = 24,
    num_inference_steps: int | None = None,
    seed: int = 0,
    checkpoint: Checkpoint = NOWHERE,
) -> tuple[TargetLabel, Interval, Interval]:
    """What the judge sees more of under the target prompts than under the neutral ones, or less of.

    Of all labels the one whose share rises most, a subject before what goes with it; for an anti-concept, the one whose
    share falls most. Also returns that share under the neutral and under the target prompts: what the model itself
    makes of the words.

    images: of the neutral and of the target prompts, in all; two and four times as many where that leaves it open.
    checkpoint: has what was judged, and gets what is.

    Raises NoEffectError where no share changes beyond chance: the model does not know the words, or the judge cannot
    see what they change.
    """
    pairs = concept.pairs
    each = max(1, images // len(pairs))
    settings: dict[str, Any] = {"num_inference_steps": num_inference_steps, "batch_size": 16}

    def seen(prompt: str, **how: Any) -> Verdicts:
        def drawn() -> list[Image]:
            return [record.image for record in generate(model, prompt, each, **settings, **how)]

        return judged(checkpoint, model, judge, asked_of([prompt], each, (), **settings, **how), drawn)

    plain: list[Mapping[str, Verdict]] = []
    prompted: list[Mapping[str, Verdict]] = []
    for turn in range(LOOKS[-1]):
        for index, pair in enumerate(pairs):
            # Pairs of one neutral prompt must not show the same images twice.
            turn_seed = seed + turn * len(pairs) + index
            plain += seen(pair.neutral, seed=turn_seed)
            prompted += seen(pair.target, negative_prompt=pair.negative, seed=turn_seed)
        if turn + 1 not in LOOKS:
            continue
        changes = _changes(plain, prompted)
        if not changes:
            raise NoEffectError(
                f"The judge could score none of the {len(plain) + len(prompted)} images of '{concept.name}'.",
                "images that it is sure of.",
                "another judge.",
            )
        target_label = _label(changes, concept)
        shown = [sum(map(target_label.shown, rows)) for rows in (plain, prompted)]
        chance = fisher_test(shown[1], shown[0], len(plain))
        old, new = (proportion(count, len(plain)) for count in shown)
        if chance <= SIGNIFICANCE / (len(LOOKS) * len(changes)):
            return target_label, old, new
    raise NoEffectError(
        f"No effect of the concept '{concept.name}' can be seen: its own prompts change nothing that the judge "
        f"knows beyond chance (at most '{target_label}': {old.value:.2f} of {len(plain)} images with the neutral "
        f"prompt, {new.value:.2f} with the target prompt).",
        "a concept that the model draws and the judge sees, and that the neutral prompt leaves open.",
        "other words, or a judge that knows the concept.",
    )
