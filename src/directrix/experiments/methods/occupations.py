"""Does a direction reach every occupation? Woman and man at strength 1 over the ten test ones, and unsteered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.concept import GENDER
from directrix.discovery import discover
from directrix.discovery.settings import grouped
from directrix.errors import DirectrixError
from directrix.experiments.methods.tasks import by_occupation, photos
from directrix.generation.generate import generate
from directrix.interventions.steering import Steering
from directrix.measurement.metrics import bootstrap, pooled_mean, proportion
from directrix.measurement.reports.leakage import CATEGORIES
from directrix.progress import Progress, labelled, silent

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge
    from directrix.measurement.judges.base import Verdicts

# An occupation is missed where a smaller share of its images shows the gender that they were steered to.
MOVED = 0.8


def occupations(
    pipeline: Any,
    judges: Mapping[str, Judge],
    folder: Path,
    *,
    method: str = "reconstruction",
    images_per_occupation: int = 20,
    seed: int = 0,
    progress: Progress = silent,
    **settings: Any,
) -> dict[str, Any]:
    """Discover woman and man with ``method``, steer the test occupations by each at strength 1, and judge.

    Args:
        judges: by the name that figures have for them; the first one's come first.
        folder: keeps the discovery's checkpoint, the directions and the images, so that a stopped run goes on.
        settings: of the discovery; what is left out is the method's default.

    Returns the recipe, and for "unsteered", "woman" and "man": the judged share of women and men over all images and
    for each occupation, the subject's accuracy, and the missed occupations; and the same by the other judges under
    "judges". Shares over all occupations have intervals of a bootstrap over occupations.
    """
    # A finished checkpoint gives its directions again at once, and refuses other settings and another model.
    checkpoint = folder / f"{method}-{seed}.checkpoint"
    directions = discover(
        pipeline, GENDER.concepts, method, seed=seed, checkpoint=checkpoint, progress=progress, **grouped(settings)
    )
    found: dict[str, Any] = {"method": method, "images_per_occupation": images_per_occupation, "seed": seed}
    found["recipe"] = dict(directions[0].recipe)
    sides: list[tuple[str, Any, str | None]] = [("unsteered", (), None)]
    for direction, gender in zip(directions, CATEGORIES["gender"], strict=True):
        direction.save(folder / f"{method}-{direction.name}-{seed}.safetensors")
        sides.append((direction.name, Steering({direction: 1.0}), gender))
    for name, steering, wanted in sides:
        records = generate(
            pipeline,
            photos(),
            images_per_occupation,
            seed=seed + 1,
            interventions=steering,
            output=folder / f"{method}-{seed}" / name,
            overwrite=True,
            progress=labelled(progress, f"{name}: "),
        )
        images = [record.image for record in records]
        first, *others = (side(by_occupation(_labels(judge.label(images))), wanted) for judge in judges.values())
        found[name] = {**first, "judges": dict(zip([*judges][1:], others, strict=True))}
    return found


def _labels(verdicts: Verdicts) -> list[dict[str, str | None]]:
    return [{key: each[key].label for key in ("subject", "gender", "tone")} for each in verdicts]


def side(rows: Mapping[str, Sequence[Mapping[str, str | None]]], wanted: str | None) -> dict[str, Any]:
    """The figures of one side: ``rows`` holds the judge's labels by occupation, ``wanted`` the gender steered to.

    An unscored image shows neither gender and not its subject: steering must not gain by making images unreadable.
    """
    if not rows or not all(rows.values()):
        raise DirectrixError("An occupation has no pictures.", "at least one of each.", "draw them first.")
    found: dict[str, dict[str, list[bool]]] = {
        gender: {name: [each["gender"] == gender for each in row] for name, row in rows.items()}
        for gender in CATEGORIES["gender"]
    }
    found["subject_accuracy"] = {name: [each["subject"] == name for each in row] for name, row in rows.items()}
    figures: dict[str, Any] = {key: bootstrap(values, pooled_mean).as_dict() for key, values in found.items()}
    each = {
        name: {key: proportion(sum(values[name]), len(values[name])).as_dict() for key, values in found.items()}
        for name in rows
    }
    if wanted is not None:
        figures["missed"] = [name for name, row in each.items() if row[wanted]["value"] < MOVED]
    return {**figures, "by_occupation": each}
