"""The embedded model's world: emoji art, its grammar, its bias, its training, and the trained weights.

``path()`` is an ordinary diffusers StableDiffusionPipeline folder: diffusers loads it with nothing of ours imported.
"""

from pathlib import Path

from directrix.errors import ModelError

MODEL = Path(__file__).parent / "weights" / "emoji"


def _part(name: str) -> Path:
    found = MODEL / name
    if not found.exists():
        raise ModelError(
            f"The embedded model's {name} is not in this installation.",
            f"{name} in the package's folder models/weights/emoji.",
            "reinstall the package, or train the model with 'directrix world train'.",
        )
    return found


def path() -> Path:
    """The folder of the embedded pipeline. Raises ModelError where the installation lacks it."""
    return _part("pipeline")


def clip_path() -> Path:
    """The folder of the embedded CLIPModel with its tokenizer and image processor."""
    return _part("clip")


def judge_path() -> Path:
    """The file of the embedded judge."""
    return _part("judge.safetensors")
