"""The embedded models: trained weights that are in the package, as ordinary diffusers folders.

Both draw the emoji world. `emoji` is a StableDiffusionPipeline built as Stable Diffusion 1.x is, `emoji-sd3` an
ordinary StableDiffusion3Pipeline. diffusers loads either with nothing of ours imported. One CLIP and the judges serve
both.
"""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from directrix.checks import one_of
from directrix.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"
CHECKSUMS = "checksums.txt"
EMBEDDED = "emoji"
# What each is, for whoever chooses.
MODELS: Mapping[str, str] = {
    EMBEDDED: "StableDiffusionPipeline: a U-Net with cross-attention at every level but the deepest; predicts noise",
    "emoji-sd3": "StableDiffusion3Pipeline: an MMDiT with two CLIP text encoders; rectified flow",
}
# The starter directions of each, in the order in which they are shown.
STARTERS = (
    *("woman", "man", "light-skinned", "brown-skinned", "dark-skinned"),
    *("no weapon", "no alcohol", "no smoking", "3D", "flat", "night", "snow"),
)


def _part(name: str) -> Path:
    found = WEIGHTS / name
    if not found.exists():
        raise ModelError(
            f"The embedded '{name}' is not in this installation.",
            f"{name} in the package's folder models/weights.",
            "reinstall the package, or train the models with 'directrix world train'.",
        )
    return found


def path(name: str = EMBEDDED) -> Path:
    """The folder of an embedded pipeline. Raises ModelError for another name, or where the installation lacks it."""
    one_of("embedded model", name, MODELS, error=ModelError)
    return _part(f"{name}/pipeline")


def megabytes(name: str | None = None) -> float:
    """Size of the weights of an embedded pipeline, or of all that is embedded, in 10^6 bytes."""
    folder = WEIGHTS if name is None else path(name)
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6


@cache
def _folders() -> Mapping[Path, str]:
    return {(WEIGHTS / name / "pipeline").resolve(): name for name in MODELS}


def named(folder: Path) -> str | None:
    """Which embedded model a folder, or the denoiser's folder in it, is; None for another."""
    folder = folder.resolve()
    return _folders().get(folder) or (_folders().get(folder.parent) if folder.name in ("unet", "transformer") else None)


def clip_path() -> Path:
    """The folder of the embedded CLIPModel with its tokenizer and image processor."""
    return _part("emoji/clip")


def judge_path() -> Path:
    """The file of the embedded judge."""
    return _part("emoji/judge.safetensors")


def second_judge_path() -> Path:
    """The file of the judge to which nothing is fitted."""
    return _part("emoji/judge-held-out.safetensors")


def reference_path() -> Path:
    """The file with the features of renders that images of people are compared with."""
    return _part("emoji/reference.safetensors")


def directions_path(name: str = EMBEDDED) -> Path:
    """The folder of an embedded model's starter directions. Raises ModelError for another name."""
    one_of("embedded model", name, MODELS, error=ModelError)
    return Path(__file__).parent / "starters" / name


def files(folder: Path | None = None) -> list[str]:
    """The files of weights in a folder, relative to it; by default the package's."""
    folder = folder or WEIGHTS
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*.safetensors"))


def checksums() -> dict[str, str]:
    """The SHA-256 of each published file of weights, by the file's name; empty where none are noted."""
    path = WEIGHTS / CHECKSUMS
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def write_checksums(folder: Path | None = None) -> None:
    """Notes the SHA-256 of the files of weights in a folder, as `sha256sum -c` reads them: after a training."""
    folder = folder or WEIGHTS
    lines = [f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in files(folder)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
