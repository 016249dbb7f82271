"""Judging every picture once: verdicts and features are kept by the hash of the picture's file.

verdicts-<judge>.jsonl has a line for each picture, added while it is judged; features-<judge>.npz one row for each.
<judge> is a hash of the judge's settings, so another threshold or checkpoint never reads this one's verdicts. A judge
that does not say its settings is asked anew in every run.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.errors import OutputError
from directrix.measurement import judges as judges_by_name
from directrix.measurement.judges import Verdict
from directrix.models.files import write_atomically
from directrix.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from directrix.measurement.benchmarks import Benchmark
    from directrix.measurement.judges import Judge

CHUNK = 64
Files = Mapping[str, Path]  # by hash


class Bench:
    """Judges side by side, over the folder of a run. Of two that know an attribute, the first one gives it."""

    def __init__(self, judges: Sequence[Judge], folder: Path) -> None:
        self.judges = tuple(judges)
        self.folder = folder

    def attributes(self) -> list[str]:
        """What they know, by a look at a blank picture: a judge that cannot work fails here, before any drawing."""
        from PIL import Image as images_of

        blank = images_of.new("RGB", (64, 64), "grey")
        return list(dict.fromkeys(name for judge in self.judges for name in judge.label([blank])[0]))

    def verdicts(self, files: Files, progress: Progress) -> dict[str, dict[str, Verdict]]:
        """By hash and attribute; only pictures that are new are looked at."""
        found: dict[str, dict[str, Verdict]] = {name: {} for name in files}
        for judge in self.judges:
            for name, verdicts in self._verdicts_of(judge, files, progress).items():
                if name in found:
                    found[name] = {**verdicts, **found[name]}
        return found

    def features(self, judge: Any, files: Files, progress: Progress) -> dict[str, np.ndarray]:
        """By hash, float32 (D,)."""
        import numpy as np

        path = self._path(judge, "features", "npz")
        retained = _read_features(path)
        todo = [name for name in files if name not in retained]
        with progress(len(todo), f"Features by {judge.name}") as bar:
            for chunk in _chunks(todo):
                rows = np.asarray(judge.features([_opened(files[name]) for name in chunk]), dtype=np.float32)
                retained |= dict(zip(chunk, rows, strict=True))
                bar.advance(len(chunk))
        if todo and path is not None:
            buffer = io.BytesIO()
            np.savez(buffer, sha256=np.array(list(retained)), features=np.stack(list(retained.values())))
            write_atomically(path, buffer.getvalue())
        return {name: retained[name] for name in files}

    def _verdicts_of(self, judge: Judge, files: Files, progress: Progress) -> dict[str, dict[str, Verdict]]:
        path = self._path(judge, "verdicts", "jsonl")
        retained = _read_verdicts(path)
        todo = [name for name in files if name not in retained]
        with progress(len(todo), f"Judging by {judge.name}") as bar:
            for chunk in _chunks(todo):
                verdicts = judge.label([_opened(files[name]) for name in chunk])
                new = {name: dict(each) for name, each in zip(chunk, verdicts, strict=True)}
                retained |= new
                _append(path, new)
                bar.advance(len(chunk))
        if todo and path is not None:
            lines = "".join(_line(name, retained[name]) for name in sorted(retained))
            write_atomically(path, lines.encode())
        return retained

    def _path(self, judge: Any, what: str, ending: str) -> Path | None:
        key = judge_key(judge)
        return None if key is None else self.folder / f"{what}-{key}.{ending}"


def named_judges(names: Sequence[str], benchmark: Benchmark) -> list[Judge]:
    """Judges by name; one of CLIP is asked what the benchmark asks.

    Raises:
        DirectrixError: as `directrix.measurement.judges.load`.
    """
    found = []
    for name in names:
        clip = name.partition(":")[0] == "clip" and benchmark.clip
        found.append(judges_by_name.load(name, **({"attributes": benchmark.clip} if clip else {})))
    return found


def config_of(judge: Any) -> dict[str, Any]:
    """A judge's settings as JSON values; its name alone where it does not say them."""
    return {"name": judge.name, **json.loads(json.dumps(dict(getattr(judge, "config", None) or {})))}


def judge_key(judge: Any) -> str | None:
    """The start of a hash of its settings; None where it does not say them."""
    if getattr(judge, "config", None) is None:
        return None
    return hashlib.sha256(json.dumps(config_of(judge), sort_keys=True).encode()).hexdigest()[:12]


def read_verdicts(folder: Path, judges: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Verdict]]:
    """The verdicts that a run's folder holds by judges of these settings (see `config_of`), by hash and attribute."""
    found: dict[str, dict[str, Verdict]] = {}
    for config in judges:
        key = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]
        for name, verdicts in _read_verdicts(folder / f"verdicts-{key}.jsonl").items():
            found[name] = {**verdicts, **found.get(name, {})}
    return found


def _opened(path: Path) -> Image:
    from PIL import Image as images_of

    with images_of.open(path) as image:
        return image.convert("RGB")


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[first : first + CHUNK] for first in range(0, len(names), CHUNK)]


def _line(name: str, verdicts: Mapping[str, Verdict]) -> str:
    row = {"sha256": name, "verdicts": {attribute: list(each) for attribute, each in verdicts.items()}}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _append(path: Path | None, verdicts: Mapping[str, Mapping[str, Verdict]]) -> None:
    if path is None:
        return
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(_line(name, each) for name, each in verdicts.items())
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written: {error.strerror or error}.",
            "free space, and a folder that you may write to.",
            "run it again: what was judged is kept.",
        ) from error


def _read_verdicts(path: Path | None) -> dict[str, dict[str, Verdict]]:
    retained: dict[str, dict[str, Verdict]] = {}
    if path is None or not path.is_file():
        return retained
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # The last line may have been cut off; that picture is judged again.
        try:
            row = json.loads(line)
            retained[row["sha256"]] = {name: Verdict(*each) for name, each in row["verdicts"].items()}
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return retained


def _read_features(path: Path | None) -> dict[str, np.ndarray]:
    import numpy as np

    if path is None or not path.is_file():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return dict(zip(stored["sha256"].tolist(), stored["features"], strict=True))
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        return {}
