"""The manifest of a folder of images: one JSON line per image, which holds all that decides it.

A row and the image's own random generator both follow from the run's settings and the image's place, never from the
batch that it happens to be drawn in. Lines are appended while images are drawn, so that a run which is stopped loses
nothing. The last line of a file counts; a line that was cut off is ignored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from directrix import __version__
from directrix.checks import validated
from directrix.deprecation import upgraded
from directrix.errors import OutputError
from directrix.interventions.protocol import Intervention, Plan, select
from directrix.models import SteerableModel, lora
from directrix.models.files import write_atomically
from directrix.reading import json_text
from directrix.reading.images import read as read_image
from directrix.reading.names import inside
from directrix.reading.source import Source

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

NAME = "manifest.jsonl"
_THUMBNAIL = 160  # pixels of its longer side
# What version 0.1 called keys of rows, keys of an intervention's settings, and methods.
_OLD_KEYS = {"told": "rewritten_prompt"}
_OLD_SETTINGS = {"in the place of": "attributes", "held": "feedback", "spare": "retain"}
_OLD_METHODS = {"replaced": "project-and-set", "held": "feedback", "aligned": "nearest", "removed": "erase"}
# What may differ between two runs that draw the same image.
_NOT_SETTINGS = ("file", "flagged", "sha256", "versions")
# Only where there is something to say, so a row that lacks one differs from a row that has it.
_PLANNED = ("assigned", "rewritten_prompt", "unmet", "gates", "loras")


Place = Annotated[int, Field(ge=0)]


class Row(BaseModel, strict=True, extra="allow"):
    """What is looked at of a row that is read, where it is there; a row of another program has no file."""

    file: str
    prompt: str = ""
    prompt_index: Place = 0
    image_index: Place = 0
    seed: Place = 0
    interventions: list[dict[str, Any]] = []
    assigned: dict[str, str] = {}
    unmet: list[str] = []
    gates: dict[str, dict[str, str | bool]] = {}
    sha256: str = ""
    method: str = ""
    prompt_id: str = ""
    versions: dict[str, str] = {}


class Record:
    """One image and all that is needed to draw it again.

    `prompt` is its prompt, `prompt_index` the prompt's place in the run, `image_index` the image's place among those of
    its prompt, `seed` the run's seed, `interventions` the settings of each with this image's own strengths, and `path`
    its PNG file, None without an output folder.

    Args:
        row: its row of the manifest.
        folder: where its file is.
        image: the image itself, where there is no folder.
        drawn: False if it was taken over from an earlier run.
    """

    def __init__(
        self, row: Mapping[str, Any], folder: Path | None, image: Image | None = None, drawn: bool = True
    ) -> None:
        self.row, self.drawn, self._image = row, drawn, image
        self.prompt: str = row["prompt"]
        self.prompt_index, self.image_index, self.seed = (row[key] for key in ("prompt_index", "image_index", "seed"))
        self.interventions: tuple[Mapping[str, Any], ...] = tuple(row["interventions"])
        self.path = None if folder is None else folder / row["file"]

    @property
    def image(self) -> Image:
        """The image, RGB; read from its file where it has one, so that long runs fit in memory."""
        if self._image is not None:
            return self._image
        assert self.path is not None
        return read_image(self.path)

    def __repr__(self) -> str:
        given = "".join(f", {name}: {category}" for name, category in self.row.get("assigned", {}).items())
        return f"Record({self.prompt!r}, image {self.image_index}{given}, {self.path or 'in memory'})"

    def _repr_html_(self) -> str:
        """What notebooks show: a thumbnail over the prompt."""
        from base64 import b64encode
        from html import escape

        small, data = self.image.copy(), io.BytesIO()
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        small.save(data, "PNG")
        source = f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"
        text = escape(self.prompt)
        return (
            f'<figure style="display:inline-block;margin:4px;max-width:{_THUMBNAIL}px">'
            f'<img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )


class Records(list[Record]):
    """The records of a run."""

    def _repr_html_(self) -> str:
        """What notebooks show: all thumbnails."""
        return "".join(each._repr_html_() for each in self)


def image_seed(seed: int, prompt_index: int, image_index: int) -> int:
    """The seed of one image, in [0, 2^63): the start of a SHA-256, so that no two places share one."""
    digest = hashlib.sha256(f"{seed}/{prompt_index}/{image_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def image_generator(seed: int, prompt_index: int, image_index: int) -> torch.Generator:
    """The random generator of one image, on the CPU, where it gives the same noise for every device."""
    import torch

    return torch.Generator("cpu").manual_seed(image_seed(seed, prompt_index, image_index))


def rows(
    model: SteerableModel,
    prompts: Sequence[str],
    images_per_prompt: int,
    parts: Sequence[Intervention],
    plan: Plan,
    settings: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The rows of a run, all images of the first prompt first.

    Args:
        parts: the interventions as they are applied, planned already.
        plan: what was assigned and how prompts were rewritten.
        settings: seed, negative prompt, steps, guidance scale, height and width.
    """
    loras = lora.of(model.denoiser)
    shared = {
        **settings,
        **({"loras": loras} if loras else {}),
        "scheduler": type(model.scheduler).__name__,
        "dtype": str(model.denoiser.dtype).removeprefix("torch."),
        "model": asdict(model.identity),
        "versions": {"directrix": __version__, **{name: version(name) for name in ("diffusers", "torch")}},
    }
    total = len(prompts) * images_per_prompt
    made = []
    for position in range(total):
        prompt_index, image_index = divmod(position, images_per_prompt)
        row = {
            "file": f"{prompt_index:04d}-{image_index:03d}.png",
            "prompt": prompts[prompt_index],
            "prompt_index": prompt_index,
            "image_index": image_index,
            "image_seed": image_seed(settings["seed"], prompt_index, image_index),
            "interventions": [dict(select(part, [position], total).config) for part in parts],
            **shared,
        }
        if plan.assigned and plan.assigned[position]:
            row["assigned"] = dict(plan.assigned[position])
        if plan.rewritten and plan.rewritten[prompt_index] != prompts[prompt_index]:
            row["rewritten_prompt"] = plan.rewritten[prompt_index]
        if plan.unmet and plan.unmet[prompt_index]:
            row["unmet"] = list(plan.unmet[prompt_index])
        if plan.gates and plan.gates[prompt_index]:
            row["gates"] = plan.gates[prompt_index]
        made.append(json.loads(json.dumps(row)))
    return made


def same(folder: Path, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """Whether the image of an old row is there, whole, and the one that the new row asks for."""
    if old is None or any(old.get(key) != new.get(key) for key in (*new, *_PLANNED) if key not in _NOT_SETTINGS):
        return False
    # An image that was changed or cut off since is drawn again.
    return old.get("sha256") == sha256((folder / new["file"]).read_bytes())


def writable(folder: Path) -> None:
    """Makes the folder; OutputError where files cannot be written to it."""
    probe = folder / f".{os.getpid()}.part"
    with _explained("The folder", folder, "written", "another folder, or change its permissions."):
        folder.mkdir(parents=True, exist_ok=True)
        # Asking the system is not enough: a read-only disk says yes.
        probe.write_bytes(b"")
        probe.unlink()


@contextmanager
def _explained(what: str, path: Path, done: str, remedy: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = f"{what} '{path}' cannot be {done}: {error.strerror or error}.".lstrip()
        raise OutputError(said, "free space, in a folder that you may write to.", remedy) from error


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows by file name, in order of prompt and image, under today's names; empty where there is no manifest, and
    OutputError where it cannot be read."""
    if not (folder / NAME).exists():
        return {}
    source = Source(folder / NAME, OutputError, "a manifest.", "another folder.")
    rows = {row["file"]: row for row in json_text.lines(source, lambda row: _checked(row, folder))}
    return dict(sorted(rows.items()))


def _checked(content: Any, folder: Path) -> dict[str, Any]:
    """A row under today's names; DirectrixError where it is none, or its file is outside the folder."""
    validated(Row, content, "the row")
    if inside(folder, content["file"]) is None:
        raise OutputError(f"its file is {content['file']!r}, which is not in the folder.")
    row = upgraded(content, _OLD_KEYS)
    if "interventions" in row:
        row["interventions"] = [_upgraded_settings(each) for each in row["interventions"]]
    return row


def _upgraded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    new = upgraded(settings, _OLD_SETTINGS)
    for key in ("method", "combine"):
        if isinstance(new.get(key), str):
            new[key] = _OLD_METHODS.get(new[key], new[key])
    if isinstance(new.get("parts"), list):
        new["parts"] = [_upgraded_settings(each) if isinstance(each, Mapping) else each for each in new["parts"]]
    return new


def write(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the whole manifest anew, in one step; OutputError where that cannot be done."""
    lines = (json.dumps(rows[name], ensure_ascii=False) + "\n" for name in sorted(rows))
    write_atomically(folder / NAME, "".join(lines).encode())


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds one line; OutputError where that cannot be done."""
    remedy = "run it again: finished images stay."
    with _explained("", folder / NAME, "written", remedy), (folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def sha256(data: bytes) -> str:
    """Hash of an image's file."""
    return hashlib.sha256(data).hexdigest()
