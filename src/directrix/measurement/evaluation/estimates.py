"""From one value a picture to figures with intervals: over all prompts, and by kind, group and prompt.

Pictures of one prompt belong together, so intervals draw whole prompts again (a cluster bootstrap). A picture without a
value is in no figure; how many there are is said beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from directrix.measurement.evaluation.images import Picture
from directrix.measurement.metrics import Interval, bootstrap, clustered_share, pooled_mean, proportion

Values = Mapping[str, Sequence[float]]  # by prompt
# Resamples for intervals that only draw error bars.
FEW = 400


@dataclass
class Measured:
    """Figures by metric; the values behind them by metric, kind ("" for all) and prompt or group, for pairing; and
    pictures by attribute, kind, group and label.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    def add(self, other: Measured) -> None:
        """Takes in another measurement."""
        self.figures |= other.figures
        self.values |= other.values
        self.counts |= other.counts


def averaged(
    metric: str, pictures: Sequence[Picture], value: Callable[[Picture], float | None], worst: Callable[..., str] = min
) -> Measured:
    """The mean of one value a picture: {"mean", "worst", "unscored", "by_kind", "by_group", "by_prompt"}.

    worst: min where more is better, max where less is. "worst" is that of the groups, or of the prompts where there are
    no groups. Where no picture has a value, "mean" is None.
    """
    scored = [(picture, value(picture)) for picture in pictures]
    found = split(scored)
    figure = _figure(found[""], len(pictures))
    sizes = Counter(picture.row.kind for picture in pictures)
    by_kind = {kind: _figure(found.get(kind, {}), size) for kind, size in sizes.items() if kind}
    if len(by_kind) > 1:
        figure["by_kind"] = by_kind
    groups = {
        group: [(picture, each) for picture, each in scored if group in picture.row.groups]
        for group in dict.fromkeys(group for picture, _ in scored for group in picture.row.groups)
    }
    by_group = {group: summary for group, rows in groups.items() if (summary := mean_of(split(rows)[""], FEW))}
    by_prompt = {prompt: _of_prompt(row) for prompt, row in found[""].items()}
    if by_group:
        figure["by_group"] = {group: each.as_dict() for group, each in by_group.items()}
    if by_prompt:
        ranked = by_group or by_prompt
        name = worst(ranked, key=lambda each: ranked[each].value)
        figure["worst"] = {**ranked[name].as_dict(), "name": name}
        figure["by_prompt"] = {prompt: each.as_dict() for prompt, each in by_prompt.items()}
    return Measured({metric: figure}, values={metric: found} if found[""] else {})


def split(scored: Sequence[tuple[Picture, float | None]]) -> dict[str, dict[str, list[float]]]:
    """Values by kind and prompt; all of them under the kind "". Pictures without a value are left out."""
    found: dict[str, dict[str, list[float]]] = {"": {}}
    for picture, each in scored:
        if each is None:
            continue
        for kind in dict.fromkeys(("", picture.row.kind)):
            found.setdefault(kind, {}).setdefault(picture.row.id, []).append(float(each))
    return found


def mean_of(values: Values, resamples: int = 2000) -> Interval | None:
    """The mean over all pictures with its interval over prompts; None where there are no values."""
    if not values:
        return None
    if all(each in (0.0, 1.0) for row in values.values() for each in row):
        return clustered_share({prompt: [each == 1.0 for each in row] for prompt, row in values.items()})
    return bootstrap(values, pooled_mean, resamples=resamples)


def as_dict(figure: Interval | None) -> dict[str, Any] | None:
    """The figure as JSON values; None stays None."""
    return None if figure is None else figure.as_dict()


def _figure(values: Values, pictures: int) -> dict[str, Any]:
    scored = sum(map(len, values.values()))
    return {"mean": as_dict(mean_of(values)), "unscored": pictures - scored}


def _of_prompt(row: Sequence[float]) -> Interval:
    if all(each in (0.0, 1.0) for each in row):
        return proportion(int(sum(row)), len(row))
    # Pictures of one prompt have seeds of their own.
    return bootstrap({str(place): [each] for place, each in enumerate(row)}, pooled_mean, resamples=FEW)
