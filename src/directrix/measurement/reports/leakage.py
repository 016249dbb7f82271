"""What a direction changes that it should not, over the same seeds drawn with and without it."""

from __future__ import annotations

from collections.abc import Sequence

from directrix.measurement.calibration.dose_response import Verdicts, shares
from directrix.measurement.judges.emoji_vocabulary import CATEGORIES as CATEGORIES
from directrix.measurement.metrics import Interval, bootstrap, pooled_mean


def leakage(before: Verdicts, after: Verdicts, target_attribute: str) -> dict[str, dict[str, Interval]]:
    """By attribute but the target's, and by label: the change of its share, in [-1, 1], over the same seeds.

    An unscored image has no label. The 95 % interval comes from drawing the pairs of images again; where no image
    gained or lost the label it has no width, which is not to say that none would.
    """
    found: dict[str, dict[str, Interval]] = {}
    for attribute in before[0]:
        if attribute == target_attribute:
            continue
        pairs = [(old[attribute].label, new[attribute].label) for old, new in zip(before, after, strict=True)]
        found[attribute] = {}
        for label in sorted({label for pair in pairs for label in pair if label is not None}):
            changes = {str(place): [(new == label) - (old == label)] for place, (old, new) in enumerate(pairs)}
            found[attribute][label] = bootstrap(changes, pooled_mean)
    return found


def largest(before: Verdicts, after: Verdicts, target_attribute: str) -> float:
    """The largest change of the share of any gender or skin tone, but the target's."""
    old, new = shares(before), shares(after)
    return max(
        abs(new[attribute].get(label, 0.0) - old[attribute].get(label, 0.0))
        for attribute, labels in CATEGORIES.items()
        if attribute != target_attribute
        for label in labels
    )


def never_falls(effects: Sequence[Interval]) -> bool:
    """Whether no effect, by rising strength, lies with its whole interval below one of a lower strength."""
    return all(later.high >= earlier.value for place, later in enumerate(effects) for earlier in effects[:place])
