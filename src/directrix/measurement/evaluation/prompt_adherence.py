"""Whether images show what their prompt says, for every attribute that the benchmark expects something of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.evaluation.estimates import Measured, averaged, grouped, with_kinds
from directrix.measurement.evaluation.images import EvaluatedImage
from directrix.measurement.metrics import deviation_ratio
from directrix.measurement.metrics import obedience as share

EVEN = "even"


def obedience(pictures: Sequence[EvaluatedImage], benchmark: Benchmark, known: Sequence[str]) -> Measured:
    """The metric "obeys_<attribute>" for each attribute; "obeyed": everything that is expected holds; and
    "prompts_obeyed", the share of prompts of which enough images obey (`Benchmark.obeyed_at`).

    An image that the judge cannot tell shows nothing that was asked for: it counts against, and "unscored" says how
    many do. "of_scored" is the mean without them. "even" is a matter of all images of a prompt: it holds for all of
    them or for none.
    """
    expected = dict.fromkeys(name for row in benchmark.rows for name in row.expected)
    names = [name for name in expected if name in known]
    even = {name: _even(pictures, name, benchmark) for name in names}

    def obeys(picture: EvaluatedImage, name: str) -> bool | None:
        wanted = picture.row.expected[name]
        return even[name].get(picture.row.id) if wanted == EVEN else holds(wanted, picture.label(name))

    def obeyed(picture: EvaluatedImage) -> bool | None:
        found = [obeys(picture, name) for name in names if name in picture.row.expected]
        return False if False in found else (None if None in found else True)

    measured = Measured()
    for name in names:
        asked = [picture for picture in pictures if name in picture.row.expected]
        if asked:
            metric = f"obeys_{name.replace(' ', '_')}"
            measured.add(_shown(metric, asked, lambda picture, name=name: obeys(picture, name)))
    asked = [picture for picture in pictures if any(name in picture.row.expected for name in names)]
    if asked:
        measured.add(_shown("obeyed", asked, obeyed))
        least = benchmark.obeyed_at
        rows = grouped([(picture, obeyed(picture)) for picture in asked])
        figure = with_kinds({kind: share(each, least=least).as_dict() for kind, each in rows.items()})
        measured.figures["prompts_obeyed"] = {"mean": figure.pop("mean"), "least": least, **figure}
    return measured


def _shown(metric: str, asked: Sequence[EvaluatedImage], value: Callable[[EvaluatedImage], bool | None]) -> Measured:
    found = {picture.place: value(picture) for picture in asked}
    measured = averaged(metric, asked, lambda picture: bool(found[picture.place]))
    scored = averaged(metric, asked, lambda picture: found[picture.place]).figures[metric]
    measured.figures[metric]["of_scored"] = scored["mean"]
    measured.figures[metric]["unscored"] = scored["unscored"]
    return measured


def holds(wanted: str, label: str | None) -> bool | None:
    """Whether a label is what is expected ("a", "a|b" for either, "!a" for anything else); None without a label."""
    if label is None:
        return None
    if wanted.startswith("!"):
        return label not in wanted[1:].split("|")
    return label in wanted.split("|")


def _even(pictures: Sequence[EvaluatedImage], name: str, benchmark: Benchmark) -> dict[str, bool]:
    """By prompt, whether the labels of its images are an even mix; prompts without a scored image are not there."""
    labels: dict[str, list[str]] = {}
    for picture in pictures:
        if picture.row.expected.get(name) == EVEN:
            label = picture.label(name)
            labels.setdefault(picture.row.id, []).extend([] if label is None else [label])
    categories = list(benchmark.targets.get(name) or sorted({each for row in labels.values() for each in row}))
    found = {}
    for prompt, row in labels.items():
        counts = Counter(label for label in row if label in categories)
        if counts and len(categories) > 1:
            found[prompt] = deviation_ratio(counts, categories) <= benchmark.even_within
    return found
