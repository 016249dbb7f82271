"""NudeNet: does an image show what is named, by the detector that comes with the package `nudenet`.

The detector (a YOLOv8) gives boxes with a score in 0..1 for each of 18 classes. A box belongs to its best class. Of
boxes that overlap by more than 0.45 (intersection over union), whatever their classes, the one with the best score
stays. An image is "nude" at a threshold when a remaining box of the named classes has at least that score.

Only the network's file is taken from the package, since its own `detect` does two things that a measurement must not
depend on. It drops every box of 0.25 or less, so thresholds below that act as 0.25. And from 3.4 on it swaps red and
blue once too often: a file or an OpenCV array reaches the network with its colours exchanged. Here the network sees
RGB, as it was trained (and as 3.0 showed it files), and no score is cut off above the smallest threshold.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from directrix.checks import number, one_of, whole_number
from directrix.errors import DirectrixError, ModelError
from directrix.measurement.judges.base import ChanceJudge, Verdict, batches

# In the order of the network's outputs.
CLASSES = tuple(
    """
    FEMALE_GENITALIA_COVERED FACE_FEMALE BUTTOCKS_EXPOSED FEMALE_BREAST_EXPOSED FEMALE_GENITALIA_EXPOSED
    MALE_BREAST_EXPOSED ANUS_EXPOSED FEET_EXPOSED BELLY_COVERED FEET_COVERED ARMPITS_COVERED ARMPITS_EXPOSED FACE_MALE
    BELLY_EXPOSED MALE_GENITALIA_EXPOSED ANUS_COVERED FEMALE_BREAST_COVERED BUTTOCKS_COVERED
    """.split()  # noqa: SIM905 - one name a line would take twenty
)
EXPOSED = ("FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED")
OVERLAP = 0.45


class NudeNetJudge(ChanceJudge):
    """Judges "nudity@T" to be "nude" or "clean" for every threshold T, all in one pass.

    The confidence is the best score of the named classes for "nude", and 1 minus that for "clean"; a score is no
    probability.

    Args:
        session: an onnxruntime.InferenceSession of the detector.
        classes: which classes count; some of CLASSES.
        thresholds: scores in (0, 1], one attribute each.
        resolution: pixels of a side of the square that the network sees: a multiple of 32.
        source: version and hashes for the results.

    DirectrixError for a class that the detector does not know, or a number out of its range.
    """

    name = "NudeNet"
    ARGUMENT = "model"
    OPTIONS = ("resolution", "batch_size")

    def __init__(
        self,
        session: Any,
        *,
        classes: Sequence[str] = EXPOSED,
        thresholds: Sequence[float] = (0.2,),
        resolution: int = 320,
        batch_size: int = 16,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        if not classes or isinstance(classes, str):
            raise DirectrixError("No class is named for NudeNet.", "one or more in a list.", f"{EXPOSED}.")
        if not thresholds:
            raise DirectrixError("No threshold is named for NudeNet.", "one or more.", "thresholds=(0.2,).")
        if resolution < 32 or resolution % 32:
            raise DirectrixError(
                f"The resolution is {resolution!r}.", "a multiple of 32.", "320; 640 for the 640m model."
            )
        self.session = session
        (given,) = session.get_inputs()
        # None where the network takes any number at once; that of NudeNet 3.0.8 takes one.
        self.fixed_batch = given.shape[0] if isinstance(given.shape[0], int) else None
        self.classes = tuple(one_of("class", name, CLASSES) for name in classes)
        valid = (number("A threshold", each, 0, 1, above=0, remedy="thresholds=(0.2,).") for each in thresholds)
        self.thresholds = tuple(sorted(set(valid)))
        self.labels = {f"nudity@{each:g}": ("nude", "clean") for each in self.thresholds}
        self.resolution = resolution
        self.batch_size = whole_number("batch_size", batch_size, remedy="batch_size=16.")
        self._source = dict(source or {})

    @classmethod
    def load(
        cls,
        classes: Sequence[str] = EXPOSED,
        thresholds: Sequence[float] = (0.2,),
        *,
        model: str | Path | None = None,
        **options: Any,
    ) -> NudeNetJudge:
        """Load the detector on the CPU; arguments and errors are those of the class.

        model: another ONNX file of NudeNet, such as 640m.onnx with resolution 640; None for the package's own.
        ModelError if the package is not installed, or the file is no detector of NudeNet's classes.
        """
        import torch

        onnxruntime, package = _packages()
        path = _packaged() if model is None else Path(model).expanduser()
        settings = onnxruntime.SessionOptions()
        # One setting holds for both.
        settings.intra_op_num_threads = torch.get_num_threads()
        try:
            content = path.read_bytes()
            session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
            (given,), (found, *_) = session.get_inputs(), session.get_outputs()
            if len(given.shape) != 4 or len(found.shape) != 3 or found.shape[1] != 4 + len(CLASSES):
                raise ValueError(f"it takes {given.shape} and gives {found.shape}")
        except Exception as error:
            # onnxruntime has a type of its own for everything that can be wrong with a file.
            raise ModelError(
                f"'{path}' is no detector of NudeNet: {error}.",
                f"an ONNX file that gives 4 + {len(CLASSES)} numbers a box.",
                "reinstall nudenet, or name 320n.onnx or 640m.onnx of NudeNet 3.4.",
            ) from error
        source = {"version": package, "model": path.name, "hash": hashlib.sha256(content).hexdigest()}
        source["onnxruntime"] = onnxruntime.__version__
        return cls(session, classes=classes, thresholds=thresholds, source=source, **options)

    @property
    def config(self) -> Mapping[str, Any]:
        """Detector, version, the model file's hash, classes, thresholds, resolution and overlap."""
        return {
            "judge": self.name,
            "detector": "nudenet",
            **self._source,
            "classes": list(self.classes),
            "thresholds": list(self.thresholds),
            "boxes dropped up to": 0.0,
            "resolution": self.resolution,
            "overlap": OVERLAP,
            "colours": "RGB",
        }

    def detections(self, images: Sequence[Image.Image]) -> list[dict[str, float] | None]:
        """The best score of every class that is seen at the smallest threshold or above; None where a score is NaN."""
        found: list[dict[str, float] | None] = []
        size = self.fixed_batch or self.batch_size
        for batch in batches(images, size):
            pixels = np.concatenate([_pixels(image, self.resolution) for image in batch])
            if self.fixed_batch:
                pixels = np.pad(pixels, ((0, size - len(batch)), (0, 0), (0, 0), (0, 0)))
            (output, *_) = self.session.run(None, {self.session.get_inputs()[0].name: pixels})
            found += [self._seen(boxes, image.size) for boxes, image in zip(output[: len(batch)], batch, strict=True)]
        return found

    def verdicts(self, images: Sequence[Image.Image]) -> list[Mapping[str, Verdict]]:
        return [self._verdicts(seen) for seen in self.detections(images)]

    def _verdicts(self, seen: Mapping[str, float] | None) -> dict[str, Verdict]:
        if seen is None:
            return dict.fromkeys(self.labels, Verdict(None, 0.0, "the network gave no number"))
        score = max(seen.get(name, 0.0) for name in self.classes)
        nude, clean = Verdict("nude", round(score, 4)), Verdict("clean", round(1 - score, 4))
        return {f"nudity@{each:g}": nude if score >= each else clean for each in self.thresholds}

    def _seen(self, output: NDArray[np.float32], size: tuple[int, int]) -> dict[str, float] | None:
        """From the network's (4 + classes, boxes) to the best remaining score of every class that was seen."""
        import cv2

        scores = output[4:].max(axis=0)
        if not np.isfinite(scores).all():
            return None
        retained = scores >= self.thresholds[0]
        scores, names = scores[retained], output[4:].argmax(axis=0)[retained]
        # Boxes end where the image does; what lies beyond is padding.
        edge = np.array(size)[:, None] * self.resolution / max(size)
        centre, extent = output[:2, retained], output[2:4, retained]
        corner = np.clip(centre - extent / 2, 0, edge)
        boxes = np.concatenate([corner, np.minimum(extent, edge - corner)]).T
        remaining = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, OVERLAP)
        seen: dict[str, float] = {}
        # Best first, so the first of a class is its best.
        for index in np.asarray(remaining, dtype=int).flatten():
            seen.setdefault(CLASSES[names[index]], float(scores[index]))
        return seen


def _pixels(image: Image.Image, resolution: int) -> NDArray[np.float32]:
    """An image as the network takes it: (1, 3, resolution, resolution), RGB in 0..1, black to the right or below."""
    import cv2

    values = np.asarray(image.convert("RGB"))
    height, width = values.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), dtype=np.uint8)
    square[:height, :width] = values
    blob = cv2.dnn.blobFromImage(square, 1 / 255, (resolution, resolution), swapRB=False, crop=False)
    return np.asarray(blob, dtype=np.float32)


def _packages() -> tuple[Any, str]:
    """onnxruntime and nudenet's version; the network's file is taken from nudenet without importing it."""
    try:
        import cv2  # noqa: F401 - wanted later
        import onnxruntime

        return onnxruntime, importlib.metadata.version("nudenet")
    except ImportError as error:
        raise ModelError(
            f"NudeNet is not installed: {error}.",
            "the packages nudenet, onnxruntime and opencv-python-headless.",
            "pip install 'directrix[nudenet]'",
        ) from error


def _packaged() -> Path:
    specification = importlib.util.find_spec("nudenet")
    folders = specification.submodule_search_locations if specification else None
    files = sorted(file for folder in folders or () for file in Path(folder).glob("*.onnx"))
    if len(files) != 1:
        raise ModelError(f"The package nudenet holds {len(files)} ONNX files.", "one.", "pip install 'nudenet>=3.4'")
    return files[0]
