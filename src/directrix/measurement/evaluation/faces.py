"""Whether people are drawn as well as before: how far images of a category are from renders of it.

A figure is the KID (see `metrics.kernel_distance`) of the images of a category to renders of the same subjects, in
the features of a judge's network. An image counts to the category that it was steered to, where its manifest says so,
and else to the one that the first judge sees. So an image that should be dark-skinned and is not is far from its
renders, and so is one whose face is gone.

The renders that an image is compared with show its subject, and both its gender and its tone where these are known.
Which genders and tones a set has is what fairness measures; here it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from directrix.concept import GENDER, SKIN_TONE
from directrix.measurement.evaluation.estimates import Evaluated, Measured
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.measurement.judges.emoji_reference import LABELS, Reference
from directrix.measurement.metrics import Interval, matched_kid

# Fewer images than this say nothing.
LEAST = 10
KID = "kid"
Labels = Mapping[str, str | None]
# By the judge's attribute: what policies call it, and the judge's word for each of its categories.
_ASSIGNED = {
    attribute: (group.name, dict(zip((each.name for each in group.concepts), words.CATEGORIES[attribute], strict=True)))
    for attribute, group in (("gender", GENDER), ("tone", SKIN_TONE))
}


def faces(of: Evaluated) -> Measured:
    """The metric "kid.<judge>.<category>" of each category with enough images; the others are left out, with why."""
    if of.renders is None:
        return Measured()
    reference, features = of.renders
    rows = [(picture, labels) for picture in of.pictures if (labels := _labels(picture))]
    found, left_out = distances(
        [labels for _, labels in rows],
        [picture.row.id for picture, _ in rows],
        {name: np.array([each[picture.sha256] for picture, _ in rows]) for name, each in features.items()},
        reference,
        of.seed,
    )
    return Measured({name: each.as_dict() for name, each in found.items()}, left_out=left_out)


def distances(
    labels: Sequence[Labels], prompts: Sequence[str], features: Mapping[str, Any], reference: Reference, seed: int = 0
) -> tuple[dict[str, Interval], dict[str, str]]:
    """Figures by "kid.<judge>.<category>", and why categories have none.

    labels: subject, gender and tone of each image, N in all; prompts: of each; features: by judge, (N, D).
    """
    found: dict[str, Interval] = {}
    left_out: dict[str, str] = {}
    for attribute, categories in words.CATEGORIES.items():
        for category in categories:
            chosen = [place for place, each in enumerate(labels) if each[attribute] == category]
            if len(chosen) < LEAST:
                left_out[f"faces, {category}"] = f"{len(chosen)} images; {LEAST} are needed"
                continue
            like = np.stack([reference.like(labels[place]) for place in chosen])
            asked = [prompts[place] for place in chosen]
            for name, rows in features.items():
                key = f"{KID}.{name}.{category}"
                found[key] = matched_kid(rows[chosen], asked, reference.features[name], like, seed=seed)
    return found, left_out


def seen(verdicts: Mapping[str, Any], subject: str | None = None) -> Labels | None:
    """The labels that verdicts give; `subject` in the place of the one seen. None unless it is an occupation."""
    found = {name: each.label for name, each in verdicts.items() if name in LABELS}
    found["subject"] = subject or found.get("subject")
    labels = {name: label if (label := found.get(name)) in known else None for name, known in LABELS.items()}
    return labels if labels["subject"] else None


def _labels(picture: EvaluatedImage) -> Labels | None:
    labels = seen(picture.verdicts, picture.row.expected.get("subject"))
    if labels is None:
        return None
    steered = {name: known.get(picture.assigned.get(given, "")) for name, (given, known) in _ASSIGNED.items()}
    return {**labels, **{name: label for name, label in steered.items() if label}}


def by_judge(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The distances among a method's figures, by judge and category."""
    found: dict[str, dict[str, Any]] = {}
    for name, figure in figures.items():
        if name.startswith(f"{KID}."):
            _, judge, category = name.split(".")
            found.setdefault(judge, {})[category] = figure
    return found


def add_ratios(methods: Mapping[str, dict[str, Any]], unsteered: str) -> None:
    """Put "ratio" to every method's distances: to the unsteered one of the category.

    Where the unsteered images of a category are too few, it is the ratio to the mean over the other categories. No
    ratio where the unsteered distance is 0 or less.
    """
    found = {method: by_judge(figures) for method, figures in methods.items()}
    before = found.pop(unsteered)
    for judge, row in ((judge, row) for each in found.values() for judge, row in each.items()):
        values = {category: figure["value"] for category, figure in before.get(judge, {}).items()}
        for category, figure in row.items():
            base = values.get(category, sum(values.values()) / max(len(values), 1))
            if base > 0:
                figure["ratio"] = round(figure["value"] / base, 4)
