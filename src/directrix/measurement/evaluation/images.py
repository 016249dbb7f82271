"""The images of a run: drawn by every method with the same seeds, each with its prompt and what the judges said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image

from directrix.errors import DirectrixError
from directrix.generation import manifest
from directrix.generation.generate import generate
from directrix.interventions.protocol import Intervention
from directrix.measurement.benchmarks import Benchmark, Row
from directrix.measurement.judges.base import Verdict
from directrix.models.files import write_atomically
from directrix.models.processes import first
from directrix.models.steerable import SteerableModel
from directrix.progress import Progress, labelled
from directrix.reading import json_text
from directrix.reading.images import read as read_image
from directrix.reading.source import Source

Methods = Mapping[str, Sequence[Intervention]]
# The method that changes nothing; the others are compared with it where it is there.
NONE = "none"
PICTURES = "pictures"
# Of all images of a run, as their rows have them.
_SETTINGS = ("num_inference_steps", "guidance_scale", "height", "width", "scheduler", "dtype")


@dataclass(frozen=True)
class EvaluatedImage:
    """A drawn image; `place` is (prompt, image) and says which images of two methods have the same seed.

    assigned: the category that it was steered to, by attribute, as its manifest has them.
    """

    row: Row
    place: tuple[int, int]
    path: Path
    sha256: str
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    assigned: Mapping[str, str] = field(default_factory=dict)

    def label(self, attribute: str) -> str | None:
        """What the judge says; None where it could not tell."""
        return self.verdicts[attribute].label


def opened(path: Path) -> Image:
    """The image in a file, RGB."""
    return read_image(path)


def checked(methods: Mapping[str, Any]) -> dict[str, tuple[Intervention, ...]]:
    """Every method as a sequence of interventions; DirectrixError for none, an empty name, or two of one folder."""
    if not methods:
        raise DirectrixError("There is no method to evaluate.", "one or more.", 'methods={"none": ()}.')
    found: dict[str, tuple[Intervention, ...]] = {}
    folders: dict[str, str] = {}
    for name, given in methods.items():
        folder = folder_name(name)
        if not folder or folder in folders:
            raise DirectrixError(
                f"The method's name {name!r} {'is empty' if not folder else f'is too like {folders[folder]!r}'}.",
                "names that differ in their letters and digits, since each has a folder.",
                f"NAME={name}.",
            )
        folders[folder] = name
        found[name] = (given,) if isinstance(given, Intervention) else tuple(given)
    if found.get(NONE):
        raise DirectrixError(
            "The method 'none' has interventions.", "none, since the others are compared with it.", "another name."
        )
    return found


def folder_name(method: str) -> str:
    """A folder's name for a method: letters, digits, dots and hyphens."""
    return re.sub(r"[^\w.-]+", "-", method).strip("-.").lower()


def draw(
    model: SteerableModel,
    benchmark: Benchmark,
    methods: Methods,
    images: int,
    seed: int,
    folder: Path,
    progress: Progress,
    **settings: Any,
) -> tuple[dict[str, list[EvaluatedImage]], dict[str, Any]]:
    """Draws what is missing, and writes one manifest over all images.

    Returns the images by method, and what their rows have in common: the settings, and how many were flagged.
    """
    drawn: dict[str, list[EvaluatedImage]] = {}
    rows: list[dict[str, Any]] = []
    for name, interventions in methods.items():
        where = Path(PICTURES) / folder_name(name)
        records = generate(
            model,
            benchmark.prompts,
            images,
            seed=seed,
            interventions=interventions,
            output=folder / where,
            empty_prompts="" in benchmark.prompts,
            progress=labelled(progress, f"{name}: "),
            **settings,
        )
        drawn[name] = []
        for record in records:
            row = benchmark.rows[record.prompt_index]
            place = (record.prompt_index, record.image_index)
            file = (where / record.row["file"]).as_posix()
            read = record.row.get("closed_loop", {})
            assigned = record.row.get("assigned", {}) | {name: each["given"] for name, each in read.items()}
            drawn[name].append(EvaluatedImage(row, place, folder / file, record.row["sha256"], assigned=assigned))
            rows.append(
                {**record.row, "file": file, "method": name, "prompt_id": row.id, "group": row.group, "kind": row.kind}
            )
    first(lambda: manifest.write(folder, {row["file"]: row for row in rows}))
    some = min(rows, key=lambda row: row["file"])
    common = {name: some.get(name) for name in _SETTINGS}
    return drawn, {
        "drawing": common,
        "flagged": sum(bool(row.get("flagged")) for row in rows),
        "versions": some.get("versions", {}),
    }


def known_folder(folder: Path, benchmark: Benchmark) -> None:
    """DirectrixError for a folder that holds another benchmark's run."""
    path = folder / "run.json"
    mine = {"benchmark": benchmark.name, "version": benchmark.version}
    remedy = "another folder, or delete the file."
    theirs = (
        json_text.read(Source(path, expected="a benchmark and its version.", remedy=remedy)) if path.exists() else mine
    )
    if not isinstance(theirs, dict) or theirs != mine:
        said = theirs if isinstance(theirs, dict) else {}
        raise DirectrixError(
            f"'{folder}' holds a run of {said.get('benchmark')}, version {said.get('version')}.",
            f"a folder of its own for {benchmark.name}, version {benchmark.version}.",
            "another folder.",
        )
    write_atomically(path, (json.dumps(mine) + "\n").encode())


def of_folder(folder: Path) -> list[Path]:
    """The PNG and JPEG files of a folder and the folders in it, in order; DirectrixError where there are none."""
    endings = {".png", ".jpg", ".jpeg", ".webp"}
    found = sorted(path for path in folder.expanduser().rglob("*") if path.suffix.lower() in endings)
    if not found:
        raise DirectrixError(
            f"The folder '{folder}' holds no images.", "PNG or JPEG files.", "the folder of a reference set."
        )
    return found
