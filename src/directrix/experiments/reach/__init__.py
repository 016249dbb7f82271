"""Reach: whether the default directions do what the prompt's own words do, and change no more than they must.

`directions` has what each direction shows and leaves alone, beside controls and the previous default. `fairness` has
what a closed loop changes of images that it makes fair, beside the prompt's words by the same quotas, and what prompts
get that say the attribute themselves or are not about people. All prompts are test prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.discovery.checkpoint import Checkpoint
from directrix.experiments.methods.tasks import TEST
from directrix.experiments.reach.directions import Reaching
from directrix.experiments.reach.fairness import Sparing
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge


PARTS = ("directions", "fair", "gate", "seconds")
# What is measured with so many images of each prompt.
_PART_OF = {"directions": "directions", "controls": "directions", "groups": "fair"}


def reach(
    pipeline: Any,
    judges: Mapping[str, Judge],
    folder: Path,
    *,
    images_per_prompt: int = 8,
    images_of_controls: int = 2,
    images_of_groups: int = 12,
    num_inference_steps: int | None = None,
    parts: Sequence[str] = PARTS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure one model; returns what `results/reach.json` holds of it.

    Args:
        judges: by the name that figures have for them; the first one calibrates.
        folder: keeps directions, probes and figures, so that a stopped run goes on. MismatchError where it is of
            another model or other settings.
        images_per_prompt: of each test occupation, under each of the five directions.
        images_of_controls: the same under each control but the prompt's own words, which get as many as the directions.
        images_of_groups: of each test occupation, made fair; 6 or a multiple makes even shares whole.
        num_inference_steps: None for the model's own.
        parts: which of `PARTS` to measure; each needs the calibrated directions.
    """
    model = SteerableModel.of(pipeline)
    steps = num_inference_steps or model.facts.num_inference_steps
    sizes = {"directions": images_per_prompt, "controls": images_of_controls, "groups": images_of_groups}
    # A folder in which the words had as many images as the controls is another measurement.
    images = {**sizes, "words": images_per_prompt}
    asked = {"model": model.identity.fingerprint, "judges": list(judges), "images": images, "steps": steps}
    Checkpoint(folder, asked).begin()
    reaching = Reaching(pipeline, judges, folder, steps, progress)
    sparing = Sparing(pipeline, judges, folder, reaching.directions(), images_of_groups, steps, progress)
    measures = {
        "directions": lambda: reaching.figures(images_per_prompt, images_of_controls),
        "fair": sparing.groups,
        "gate": sparing.gate,
        "seconds": sparing.seconds,
    }
    return {
        "model": model.identity.name,
        "judges": list(judges),
        "split": "test",
        "pictures": {
            "occupations": len(TEST),
            "each": {name: size for name, size in sizes.items() if _PART_OF[name] in parts},
            "steps": steps,
        },
        **{part: measures[part]() for part in PARTS if part in parts},
    }
