"""From one value an image to figures with intervals: over all prompts, and by kind, group and prompt.

Images of one prompt belong together, so intervals draw whole prompts again (a cluster bootstrap). An image without a
value is in no figure; how many there are is said beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.metrics import Interval, bootstrap, clustered_share, paired_difference, pooled_mean
from directrix.progress import Progress, silent

if TYPE_CHECKING:
    from directrix.measurement.judges.emoji_reference import Reference

Value = TypeVar("Value")
Values = Mapping[str, Sequence[float]]  # by prompt
# What a held-out judge measures is called this and the metric's name.
HELD_OUT = "held_out."
# Resamples for intervals that only draw error bars.
FEW = 400


@dataclass(frozen=True)
class Evaluated:
    """What a measure looks at: the images of a method, what judges know, and the unsteered images of the same places.

    features: by hash, (D,), of the judge for distances, and of the one that reads prompts; reference: (N, D); texts: by
    prompt, (D,); renders: the reference of faces, and features of its judges by hash. None where no judge gives them.
    """

    pictures: Sequence[EvaluatedImage]
    benchmark: Benchmark
    known: Sequence[str] = ()
    unsteered: Sequence[EvaluatedImage] | None = None
    features: Mapping[str, Any] | None = None
    reference: Any = None
    read: Mapping[str, Any] | None = None
    texts: Mapping[str, Any] | None = None
    renders: tuple[Reference, Mapping[str, Mapping[str, Any]]] | None = None
    seed: int = 0
    progress: Progress = silent


@dataclass
class Measured:
    """Figures by metric; the values behind them by metric, kind ("" for all) and prompt or group, for pairing; and
    images by attribute, kind, group and label; and what was not measured, with the reason.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, other: Measured) -> None:
        """Takes in another measurement."""
        self.figures |= other.figures
        self.values |= other.values
        self.counts |= other.counts
        self.left_out |= other.left_out

    def called(self, prefix: str) -> Measured:
        """The same with `prefix` before each metric's name; without counts, where there is one."""
        if not prefix:
            return self
        figures, values = ({prefix + name: each for name, each in of.items()} for of in (self.figures, self.values))
        return Measured(figures, values=values)


def averaged(
    metric: str,
    pictures: Sequence[EvaluatedImage],
    value: Callable[[EvaluatedImage], float | None],
    worst: Callable[..., str] = min,
) -> Measured:
    """The mean of one value an image: {"mean", "worst", "unscored", "by_kind", "by_group", "by_prompt"}.

    worst: min where more is better, max where less is. "worst" is that of the groups, or of the prompts where there are
    no groups. Where no image has a value, "mean" is None.
    """
    scored = [(image, value(image)) for image in pictures]
    found = split(scored)
    sizes = Counter(image.row.kind for image in pictures)
    figure = _figure(found[""], len(pictures))
    by_kind = {kind: _figure(found.get(kind, {}), size) for kind, size in sizes.items() if kind}
    if len(by_kind) > 1:
        figure["by_kind"] = by_kind
    groups = dict.fromkeys(group for image in pictures for group in image.row.groups)
    rows = {group: split([each for each in scored if group in each[0].row.groups])[""] for group in groups}
    by_group = {group: mean for group, row in rows.items() if (mean := mean_of(row, FEW))}
    # Images of one prompt have seeds of their own.
    single = {prompt: {str(place): [each] for place, each in enumerate(row)} for prompt, row in found[""].items()}
    by_prompt = {prompt: mean for prompt, row in single.items() if (mean := mean_of(row, FEW, clustered=False))}
    if by_group:
        figure["by_group"] = {group: each.as_dict() for group, each in by_group.items()}
    if by_prompt:
        ranked = by_group or by_prompt
        name = worst(ranked, key=lambda each: ranked[each].value)
        figure["worst"] = {**ranked[name].as_dict(), "name": name}
        figure["by_prompt"] = {prompt: each.as_dict() for prompt, each in by_prompt.items()}
    return Measured({metric: figure}, values={metric: found} if found[""] else {})


def split(scored: Sequence[tuple[EvaluatedImage, float | None]]) -> dict[str, dict[str, list[float]]]:
    """Values by kind and prompt; all of them under the kind "". Images without a value are left out."""
    return grouped([(image, float(each)) for image, each in scored if each is not None])


def grouped(scored: Sequence[tuple[EvaluatedImage, Value]]) -> dict[str, dict[str, list[Value]]]:
    """Any values by kind and prompt; all of them under the kind ""."""
    found: dict[str, dict[str, list[Value]]] = {"": {}}
    for image, each in scored:
        for kind in dict.fromkeys(("", image.row.kind)):
            found.setdefault(kind, {}).setdefault(image.row.id, []).append(each)
    return found


def with_kinds(figures: Mapping[str, Any], least: int = 2) -> dict[str, Any]:
    """Figures by kind as {"mean", "by_kind"}, the latter of `least` kinds or more; {} where there is none of all."""
    if "" not in figures:
        return {}
    by_kind = {kind: each for kind, each in figures.items() if kind}
    return {"mean": figures[""], **({"by_kind": by_kind} if len(by_kind) >= least else {})}


def compared(
    before: Mapping[str, Values], after: Mapping[str, Values], figure: Callable[[Values, Values], Interval | None]
) -> dict[str, Any]:
    """By kind, a figure of the values before and after, over the prompts (or groups) that both have."""
    found = {}
    for kind, rows in after.items():
        both = [name for name in rows if name in before.get(kind, {})]
        value = figure(*({name: side[name] for name in both} for side in (before[kind], rows))) if both else None
        if value is not None:
            found[kind] = value.as_dict()
    return found


def paired(first: Measured, other: Measured) -> dict[str, Any]:
    """By metric, {"mean", "by_kind"}: the other's figure minus the first one's, over the prompts that both have."""
    found = {
        metric: with_kinds(compared(first.values[metric], kinds, paired_difference))
        for metric, kinds in other.values.items()
        if metric in first.values
    }
    return {metric: figure for metric, figure in found.items() if figure}


def mean_of(values: Values, resamples: int = 2000, *, clustered: bool = True) -> Interval | None:
    """The mean over all images with its interval over prompts; None where there are no values."""
    if not values:
        return None
    if all(each in (0.0, 1.0) for row in values.values() for each in row):
        shares = {prompt: [each == 1.0 for each in row] for prompt, row in values.items()}
        return clustered_share(shares if clustered else {"": [each for row in shares.values() for each in row]})
    return bootstrap(values, pooled_mean, resamples=resamples)


def _figure(values: Values, pictures: int) -> dict[str, Any]:
    mean = mean_of(values)
    return {"mean": mean and mean.as_dict(), "unscored": pictures - sum(map(len, values.values()))}
