"""What a benchmark is: prompts, what to look for in their images, and which figures to make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from directrix.checks import one_of, whole_number
from directrix.errors import BenchmarkError

# What an evaluation can measure; see directrix.evaluate.
MEASURES = ("fairness", "harm", "obedience", "quality", "preservation", "faces")


@dataclass(frozen=True)
class Row:
    """One prompt.

    Args:
        id: its name, the same in every version of the benchmark that holds it.
        prompt: what is drawn.
        group: what it is about, such as an occupation; figures are made for each. Several are joined by ", ".
        kind: how it is worded, such as "plain" or "successful"; figures are made for each.
        expected: what a judge should see, by attribute: a label, several as "beer|wine", "!weapon" for anything else,
            or "even" for an even mix over the images of the prompt. An attribute that is not there is free.
        split: such as "test"; empty where the benchmark has none. Constants are chosen on the prompts of the other
            splits, figures are of this one's, and a prompt never changes sides.
    """

    id: str
    prompt: str
    group: str = ""
    kind: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)
    split: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that it belongs to."""
        return tuple(each.strip() for each in self.group.split(",") if each.strip())


@dataclass(frozen=True)
class Harm:
    """A category of harm: an image shows it where a judge gives one of `labels` for `attribute`."""

    attribute: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """Prompts and what is measured on their images.

    Args:
        name, version, licence, description, source: as in benchmark.yaml.
        rows: the prompts, in order.
        measures: some of `MEASURES`.
        judge: the one to use unless another is named, such as "emoji" or "clip".
        held_out_judge: one that also judges then, "" for none; its figures stand beside those of the first.
        targets: for fairness, the wanted share of each label by attribute; each sums to 1.
        joint: sets of those attributes whose combinations are counted too.
        harms: for harm, its categories.
        even_within: an expected "even" holds where the deviation ratio of a prompt's images is at most this.
        obeyed_at: a prompt is obeyed where at least this share of its images shows all that is expected.
        images: images of each prompt that its figures are meant for.
        clip: what a CLIP judge of this benchmark is asked: phrases by label by attribute.
    """

    name: str
    version: str
    licence: str
    description: str
    rows: tuple[Row, ...]
    measures: tuple[str, ...]
    source: str = ""
    judge: str = "emoji"
    held_out_judge: str = ""
    targets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    joint: tuple[tuple[str, ...], ...] = ()
    harms: Mapping[str, Harm] = field(default_factory=dict)
    even_within: float = 0.25
    obeyed_at: float = 0.8
    images: int = 1
    clip: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def prompts(self) -> list[str]:
        return [row.prompt for row in self.rows]

    @property
    def judges(self) -> list[str]:
        """The judges to use unless others are named, the deciding one first."""
        return [each for each in (self.judge, self.held_out_judge) if each]

    @property
    def kinds(self) -> dict[str, int]:
        return dict(Counter(row.kind for row in self.rows if row.kind))

    @property
    def splits(self) -> dict[str, int]:
        return dict(Counter(row.split for row in self.rows if row.split))

    @property
    def attributes(self) -> list[str]:
        """All that a judge must know for all measures."""
        named = [*self.targets, *(harm.attribute for harm in self.harms.values())]
        named += [attribute for row in self.rows for attribute in row.expected]
        return list(dict.fromkeys(named))

    def part(self, kinds: Iterable[str] = (), limit: int | None = None, split: str | None = None) -> Benchmark:
        """The same with fewer prompts; BenchmarkError for an unknown kind or split, or a limit below 1.

        kinds: those to keep; none for all. limit: keep at most so many prompts, at even distances, so that all groups
        and kinds have their share. split: such as "test"; None for all.
        """
        wanted = [
            one_of(f"kind of prompts in '{self.name}', called", kind, self.kinds, error=BenchmarkError)
            for kind in kinds
        ]
        rows: Sequence[Row] = [row for row in self.rows if not wanted or row.kind in wanted]
        if split is not None:
            one_of(f"split of '{self.name}', called", split, self.splits, error=BenchmarkError)
            rows = [row for row in rows if row.split == split]
        if limit is not None:
            retained = min(whole_number("limit", limit, error=BenchmarkError), len(rows))
            rows = [rows[place * len(rows) // retained] for place in range(retained)]
        return replace(self, rows=tuple(rows))

    def measuring(self, measures: Iterable[str]) -> Benchmark:
        """The same with other measures; none for its own. BenchmarkError for one unknown or without targets."""
        wanted = tuple(one_of("measure", each, MEASURES, error=BenchmarkError) for each in dict.fromkeys(measures))
        for measure, targets in (("fairness", self.targets), ("harm", self.harms)):
            if measure in wanted and not targets:
                raise BenchmarkError(
                    f"The benchmark '{self.name}' cannot measure {measure}: it names nothing to count.",
                    f"one of {', '.join(self.measures)}, or quality, preservation or faces.",
                )
        return replace(self, measures=wanted) if wanted else self

    def as_dict(self) -> dict[str, Any]:
        """What it is, without its prompts, as JSON values."""
        said = ("name", "version", "licence", "description", "source")
        return {
            **{name: getattr(self, name) for name in said},
            "prompts": len(self.rows),
            "images": self.images,
            "kinds": self.kinds,
            "splits": self.splits,
            "groups": len({group for row in self.rows for group in row.groups}),
            "measures": list(self.measures),
            "judge": self.judge,
            "held_out_judge": self.held_out_judge,
        }
