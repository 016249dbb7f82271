"""A recipe: everything that decides some images, as data, as a file's metadata, as Python and as a command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from directrix import __version__, checks
from directrix.errors import ConceptError, DirectrixError

MOST_IMAGES = 8  # one batch, so that the images are those of `directrix generate`
MOST_WORDS = 500  # characters of a prompt
MOST_SEED = 2**31 - 1
KEY = "directrix"  # of the recipe in a PNG file's metadata


def file_of(name: str) -> str:
    """The name of a direction's file, as `directrix world starters` writes it."""
    return f"{name.replace(' ', '-')}.safetensors"


@dataclass(frozen=True)
class Recipe:
    """Some images of one prompt, steered.

    Args:
        strengths: by the direction's name; those of 0 are left out.
        folder: of the directions, as a reader of the recipe calls it.
        starters: whether they come with the package.
        saved: those that were found in the studio, whose files a reader has downloaded.

    Raises:
        ConceptError: no prompt, or one that is too long.
        DirectrixError: a seed or a number of images out of range.
    """

    model: str
    prompt: str
    seed: int = 0
    images: int = 4
    strengths: Mapping[str, float] = field(default_factory=dict)
    folder: str = "starters"
    starters: bool = True
    saved: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        text = self.prompt.strip() if isinstance(self.prompt, str) else ""
        if not text:
            raise ConceptError("There is no prompt.", "at least one word.", "a firefighter.")
        if len(text) > MOST_WORDS:
            raise ConceptError(f"The prompt has {len(text)} characters.", f"at most {MOST_WORDS}.", "fewer words.")
        chosen = {name: round(float(each), 4) for name, each in self.strengths.items() if each}
        for said, value, most in (
            ("The seed", self.seed, MOST_SEED),
            ("The number of images", self.images, MOST_IMAGES),
        ):
            if checks.whole_number(said, value, 0 if most == MOST_SEED else 1) > most:
                raise DirectrixError(f"{said} is {value}.", f"at most {most}.")
        object.__setattr__(self, "prompt", text)
        object.__setattr__(self, "strengths", chosen)

    def plain(self) -> Recipe:
        """The same images unsteered."""
        return replace(self, strengths={})

    def metadata(self) -> dict[str, Any]:
        """As JSON values, with the library's version."""
        return {**asdict(self), "version": __version__}

    def command(self) -> str:
        """What to type for the same images."""
        words = ["directrix", "generate", "--model", self.model, "--prompt", self.prompt, "-n", f"{self.images}"]
        words += ["--seed", f"{self.seed}"]
        for name, strength in self.strengths.items():
            words += ["--direction", f"{self._file(name)}:{strength:g}"]
        made = f"directrix world starters --model {self.model} -o {self.folder}\n" if self._needs_starters else ""
        return f"{made}{shlex.join([*words, '-o', 'out'])}"

    def python(self) -> str:
        """The same in Python."""
        lines = ["import directrix", "", f"pipeline = directrix.load({self.model!r})"]
        given = f"pipeline, {self.prompt!r}, {self.images}, seed={self.seed}"
        if self.strengths:
            lines.insert(1, "from directrix.interventions.steering import Steering")
            lines += ["strengths = {"]
            for name, strength in self.strengths.items():
                lines.append(f"    directrix.Direction.load({json.dumps(self._file(name))}): {strength:g},")
            lines += ["}"]
            given += ", interventions=Steering(strengths)"
        lines += [f"images = directrix.generate({given})"]
        return "\n".join(lines)

    @property
    def _needs_starters(self) -> bool:
        return self.starters and any(name not in self.saved for name in self.strengths)

    def _file(self, name: str) -> str:
        return f"{name}.safetensors" if name in self.saved else f"{self.folder}/{file_of(name)}"


def dumps(recipe: Recipe) -> str:
    """The recipe as one line of JSON."""
    return json.dumps(recipe.metadata(), ensure_ascii=False)
