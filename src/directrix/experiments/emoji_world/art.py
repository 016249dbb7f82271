"""The emoji art: fetched from npm packages for training only, cut to its outline, kept in a folder of PNG files.

Licences of the drawings: Noto Emoji, Apache-2.0 (the "cartoon" style); Twemoji, CC BY 4.0 (the "flat" style);
Fluent Emoji, MIT (the "3d" style).
"""

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from directrix.errors import ModelError
from directrix.measurement.judges import emoji_vocabulary as words

SPRITE_SIZE = 64
NAMES_FILE = "names.json"
# Unicode's words for its five modifiers.
TONE_NAMES = {"1f3fb": "light", "1f3fc": "medium-light", "1f3fd": "medium", "1f3fe": "medium-dark", "1f3ff": "dark"}


@dataclass(frozen=True)
class Package:
    """An npm package with one picture a code point sequence."""

    name: str
    version: str
    pattern: str
    licence: str


PACKAGES: Mapping[str, Package] = {
    "cartoon": Package("emoji-datasource-google", "16.0.0", "package/img/google/64/{}.png", "Apache-2.0 (Noto Emoji)"),
    "flat": Package("emoji-datasource-twitter", "16.0.0", "package/img/twitter/64/{}.png", "CC-BY-4.0 (Twemoji)"),
    "3d": Package("@lobehub/fluent-emoji-3d", "1.1.0", "package/assets/{}.webp", "MIT (Fluent Emoji)"),
}
# Names of the code points, checked against our vocabulary after fetching.
NAMES_PACKAGE = Package("emojibase-data", "17.0.0", "package/en/data.json", "MIT")


def needed_codes() -> Iterator[tuple[str, str]]:
    """(style, code point sequence) of every drawing that scenes can ask for."""
    for style in words.STYLES:
        for subject in words.SUBJECTS:
            if (style, subject) in words.HIDDEN_FACES:
                continue
            if subject in words.NON_PEOPLE:
                yield style, words.subject_codes(subject, None, None)
                continue
            for gender in words.GENDERS:
                for tone_codes in words.TONE_CODES.values():
                    for tone_code in tone_codes:
                        yield style, words.subject_codes(subject, gender, tone_code)
        for noun in words.ITEM_OBJECTS.values():
            yield style, noun.code


def fetch(folder: Path) -> Path:
    """Fill ``folder`` with the art (``<style>/<codes>.png``), using ``npm pack``; does nothing where it is complete.

    Raises:
        ModelError: npm is missing or a package could not be had.
    """
    if not (folder / NAMES_FILE).exists():
        with tempfile.TemporaryDirectory() as scratch:
            _keep_names(_pack(NAMES_PACKAGE, Path(scratch)), folder)
    check_names(json.loads((folder / NAMES_FILE).read_text(encoding="utf-8")))
    wanted = set(needed_codes())
    missing = {(style, code) for style, code in wanted if not (folder / style / f"{code}.png").exists()}
    for style in sorted({style for style, _ in missing}):
        package = PACKAGES[style]
        with tempfile.TemporaryDirectory() as scratch:
            archive = _pack(package, Path(scratch))
            _extract(archive, package, folder / style, {code for s, code in missing if s == style})
    return folder


def _keep_names(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(NAMES_PACKAGE.pattern)
        entries = json.load(stream) if stream else []
    entries = [variant for entry in entries for variant in (entry, *entry.get("skins", ()))]
    names = {entry["hexcode"].lower(): entry["label"] for entry in entries}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAMES_FILE}.partial").write_text(json.dumps(names, indent=0), encoding="utf-8")
    (folder / f"{NAMES_FILE}.partial").rename(folder / NAMES_FILE)


def check_names(names: Mapping[str, str]) -> None:
    """Make sure that captions are true: Unicode's names of the code points must say what our vocabulary says.

    Args:
        names: Unicode's name ("woman judge: dark skin tone") by code point sequence.

    Raises:
        ModelError: a subject's code point means something else.
    """
    for subject in words.SUBJECTS:
        if subject in words.NON_PEOPLE:
            _check_name(names, words.subject_codes(subject, None, None), (subject,))
            continue
        noun = () if subject == words.PERSON else (subject,)
        for gender, human in (("female", "woman"), ("male", "man")):
            for tone_codes in words.TONE_CODES.values():
                for code in tone_codes:
                    wanted = (f"{' '.join((human, *noun))}:", TONE_NAMES[code])
                    _check_name(names, words.subject_codes(subject, gender, code), wanted)


def _check_name(names: Mapping[str, str], code: str, wanted: tuple[str, ...]) -> None:
    name = names.get(code, "")
    right = wanted[0] in name if len(wanted) == 1 else name == f"{wanted[0]} {wanted[1]} skin tone"
    if not right:
        raise ModelError(
            f"The code points {code} are named {name!r}.", " ".join(wanted) + ".", "mend the table in vocabulary.py."
        )


def _pack(package: Package, scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ModelError(
            "The emoji art cannot be fetched: npm is not installed.",
            "the npm command on the path.",
            "install Node.js, or pass a folder with the art.",
        )
    spec = f"{package.name}@{package.version}"
    done = subprocess.run([npm, "pack", "--silent", spec], cwd=scratch, capture_output=True, text=True, check=False)
    archives = list(scratch.glob("*.tgz"))
    if done.returncode or not archives:
        raise ModelError(
            f"npm could not fetch {spec}: {done.stderr.strip()[:200]}",
            "a package registry within reach.",
            "check the network, then run the command again.",
        )
    return archives[0]


def _extract(archive: Path, package: Package, folder: Path, codes: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    members = {package.pattern.format(code): code for code in codes}
    with tarfile.open(archive) as tar:
        for member in tar:
            code = members.pop(member.name, None)
            stream = tar.extractfile(member) if code else None
            if code is None or stream is None:
                continue
            sprite = outline(Image.open(stream).convert("RGBA"))
            partial = folder / f".{code}.partial"
            sprite.save(partial, format="PNG")
            partial.rename(folder / f"{code}.png")
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
    longest = max(sprite.size)
    if longest > SPRITE_SIZE:
        scale = SPRITE_SIZE / longest
        size = (max(1, round(sprite.width * scale)), max(1, round(sprite.height * scale)))
        sprite = sprite.resize(size, Image.Resampling.LANCZOS)
    return sprite


class Art:
    """Drawings by style and code point sequence, read once and kept.

    Raises:
        ModelError: a drawing is missing in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sprites: dict[tuple[str, str], Image.Image] = {}

    def sprite(self, style: str, code: str) -> Image.Image:
        """The RGBA drawing, longer side at most 64 pixels."""
        key = (style, code)
        if key not in self._sprites:
            path = self.folder / style / f"{code}.png"
            if not path.exists():
                raise ModelError(
                    f"There is no {style} drawing of {code} in {self.folder}.",
                    "a folder filled by 'directrix world fetch'.",
                    "run 'directrix world fetch' and name its folder.",
                )
            self._sprites[key] = Image.open(path).convert("RGBA")
        return self._sprites[key]
