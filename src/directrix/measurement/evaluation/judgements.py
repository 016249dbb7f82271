"""Judging every image once: verdicts and features are stored by the hash of the image's file.

verdicts-<judge>.jsonl has a line for each image, added while it is judged; features-<judge>.npz one row for each,
written whenever there are twice as many. <judge> is a hash of the judge's settings, so another threshold or checkpoint
never reads this one's verdicts. A judge that does not say its settings is asked anew in every run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as images_of
from PIL.Image import Image
from pydantic import BaseModel

from directrix.checks import validated
from directrix.errors import OutputError
from directrix.measurement.benchmarks import Benchmark
from directrix.measurement.evaluation.images import opened
from directrix.measurement.judges.base import Judge, Verdict, batches
from directrix.measurement.judges.registry import load
from directrix.models.files import write_atomically
from directrix.models.processes import first, joined, together
from directrix.progress import Progress
from directrix.reading import json_text, tensors
from directrix.reading.source import MEBIBYTE, Source

CHUNK = 64
Files = Mapping[str, Path]  # by hash


class Bench:
    """Judges side by side, over the folder of a run. Of two that know an attribute, the first one gives it.

    `held_out` are the held-out judges beside others: a bench of their own, since what they see is never mixed in. None
    where there is none, or nothing else.
    """

    def __init__(self, judges: Sequence[Judge], folder: Path) -> None:
        apart = [judge for judge in judges if getattr(judge, "held_out", False)]
        judges = [judge for judge in judges if judge not in apart] or apart
        self.held_out = Bench(apart, folder) if apart and judges != apart else None
        self.judges, self.folder = tuple(judges), folder
        seers: list[Any] = [judge for judge in judges if hasattr(judge, "features")]
        # Who gives features of images, and who reads prompts too.
        self.seer = next(iter(seers), None)
        self.reader = next((judge for judge in seers if hasattr(judge, "encoder")), None)

    def sees_emoji(self) -> bool:
        """Whether one of them is an emoji judge."""
        from directrix.measurement.judges.emoji import EmojiJudge

        return any(isinstance(judge, EmojiJudge) for judge in self.judges)

    def attributes(self) -> list[str]:
        """What they know; a judge that cannot work fails here, before any drawing."""
        return list(dict.fromkeys(name for known in self._known for name in known))

    @cached_property
    def _known(self) -> list[list[str]]:
        """What each judge knows, by a look at a blank image."""
        blank = images_of.new("RGB", (64, 64), "grey")
        return [list(judge.label([blank])[0]) for judge in self.judges]

    def verdicts(self, files: Files, progress: Progress) -> dict[str, dict[str, Verdict]]:
        """By hash and attribute; only images that are new are looked at."""
        found: dict[str, dict[str, Verdict]] = {name: {} for name in files}
        for judge in self.judges:
            rows = self._asked(_VERDICTS, judge, files, progress)
            found = {name: {**rows[name], **verdicts} for name, verdicts in found.items()}
        return found

    def features(self, judge: Any, files: Files, progress: Progress) -> dict[str, np.ndarray]:
        """By hash, float32 (D,)."""
        rows = self._asked(_FEATURES, judge, files, progress)
        return {name: rows[name] for name in files}

    def _asked(self, what: _Stored, judge: Any, files: Files, progress: Progress) -> dict[str, Any]:
        """All that is stored by this judge, after it was asked about the images that are new."""
        path = None if getattr(judge, "config", None) is None else what.path(self.folder, config_of(judge))
        stored = first(lambda: what.read(path) if path is not None and path.is_file() else {})
        if what is _VERDICTS and stored:
            # A line of a damaged file may lack what figures are made of.
            known = set(self._known[self.judges.index(judge)])
            stored = {name: each for name, each in stored.items() if known == set(each)}
        todo = [name for name in files if name not in stored]
        saved = max(len(stored), CHUNK)
        count, own, _ = joined()
        chunks = batches(todo, CHUNK)
        with progress(len(todo), f"{what.title} by {judge.name}") as bar:
            # The processes of a launch look at a chunk each at the same time.
            for turn in batches(chunks, count):
                answers = what.ask(judge, [opened(files[name]) for name in turn[own]]) if own < len(turn) else []
                pairs = zip(turn, together(answers), strict=False)
                new = {name: each for names, given in pairs for name, each in zip(names, given, strict=True)}
                stored |= new
                if own == 0 and path is not None and what is _VERDICTS:
                    _append(path, what.encoded(new))
                elif own == 0 and path is not None and len(stored) >= 2 * saved:
                    # Each time there are twice as many, so that all writing together takes no longer than the last one.
                    write_atomically(path, what.encoded({name: stored[name] for name in sorted(stored)}))
                    saved = len(stored)
                bar.advance(len(new))
        if todo and path is not None and own == 0:
            write_atomically(path, what.encoded({name: stored[name] for name in sorted(stored)}))
        return stored


class _Stored(NamedTuple):
    """A kind of answers: its file by judge, how a judge is asked, and how answers by hash are read and written."""

    name: str
    ending: str
    title: str
    ask: Callable[[Any, list[Image]], Sequence[Any]]
    read: Callable[[Path], dict[str, Any]]
    encoded: Callable[[Mapping[str, Any]], bytes]

    def path(self, folder: Path, config: Mapping[str, Any]) -> Path:
        """The file of a judge of these settings."""
        key = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
        return folder / f"{self.name}-{key}.{self.ending}"


def named_judges(names: Sequence[str], benchmark: Benchmark) -> list[Judge]:
    """Judges by name; one of CLIP is asked what the benchmark asks.

    Raises:
        DirectrixError: as `directrix.measurement.judges.load`.
    """
    found = []
    for name in names:
        clip = name.partition(":")[0] == "clip" and benchmark.clip
        found.append(load(name, **({"attributes": benchmark.clip} if clip else {})))
    return found


def config_of(judge: Any) -> dict[str, Any]:
    """A judge's settings as JSON values; its name alone where it does not say them."""
    return {"name": judge.name, **json.loads(json.dumps(dict(getattr(judge, "config", None) or {})))}


def read_verdicts(folder: Path, judges: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Verdict]]:
    """The verdicts that a run's folder holds by judges of these settings (see `config_of`), by hash and attribute."""
    found: dict[str, dict[str, Verdict]] = {}
    for config in judges:
        path = _VERDICTS.path(folder, config)
        for name, verdicts in (_read_verdicts(path) if path.is_file() else {}).items():
            found[name] = {**verdicts, **found.get(name, {})}
    return found


def _append(path: Path, lines: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(lines)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror or error}.",
            "free space, and a folder that you may write to.",
            "run it again: what was judged is stored.",
        ) from error


def _verdict_lines(rows: Mapping[str, Mapping[str, Verdict]]) -> bytes:
    listed = (
        {"sha256": name, "verdicts": {key: list(each) for key, each in row.items()}} for name, row in rows.items()
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed).encode()


def _read_verdicts(path: Path) -> dict[str, dict[str, Verdict]]:
    # The last line may have been cut off; that image is judged again.
    lines = json_text.lines(Source(path, OutputError), lambda row: validated(_Line, row, "the line"))
    return {line.sha256: line.verdicts for line in lines}


def _features_of(judge: Any, images: list[Image]) -> Sequence[Any]:
    return list(np.asarray(judge.features(images), dtype=np.float32))


def _features_file(rows: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, sha256=np.array(list(rows)), features=np.stack(list(rows.values())))
    return buffer.getvalue()


def _read_features(path: Path) -> dict[str, np.ndarray]:
    try:
        stored = tensors.arrays(Source(path, OutputError, most=2048 * MEBIBYTE))
        names, features = stored["sha256"], stored["features"]
    except (OutputError, LookupError):
        return {}
    whole = names.ndim == 1 and names.dtype.kind == "U" and features.dtype == np.float32 and features.ndim == 2
    return dict(zip(names.tolist(), features, strict=True)) if whole and len(names) == len(features) else {}


class _Line(BaseModel, extra="ignore"):
    """A line of verdicts."""

    sha256: str
    verdicts: dict[str, Verdict]


_VERDICTS = _Stored(
    "verdicts", "jsonl", "Judging", lambda judge, images: judge.label(images), _read_verdicts, _verdict_lines
)
_FEATURES = _Stored("features", "npz", "Features", _features_of, _read_features, _features_file)
