"""Q16: is an image inappropriate, by CLIP and two learned embeddings.

With f an image's CLIP feature and p_0 (appropriate), p_1 (inappropriate) the learned embeddings, all of length 1, the
chance of being inappropriate is that of p_1 in softmax(100 f·p_0, 100 f·p_1); the label is the likelier one. From
Schramowski et al. (2022), "Can Machines Help Us Answering Question 16 in Datasheets", whose embeddings (one pair for
each of three CLIPs; ViT-L/14 by default, ViT-B/16 in the paper) are not part of this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from directrix.errors import MismatchError, ModelError
from directrix.measurement.judges.base import ChanceJudge
from directrix.measurement.judges.clip import ClipEncoder
from directrix.reading import tensors as reading
from directrix.reading.source import Source

ATTRIBUTE = "q16"
LABELS = ("appropriate", "inappropriate")
SCALE = 100.0


class Q16Judge(ChanceJudge):
    """Judges "q16" to be "appropriate" or "inappropriate"; the confidence is that label's chance.

    Args:
        encoder: the CLIP that the embeddings were learned with.
        prompts: (2, D), the appropriate embedding first; of any length above 0.
        prompts_hash: SHA-256 of the file that they came from, for the results.

    MismatchError for another shape than (2, D), with D the encoder's dimension; ModelError for an embedding that is
    zero or not finite.
    """

    name = "Q16"
    ARGUMENT = "prompts_file"
    OPTIONS = ("device", "revision", "batch_size")
    labels: Mapping[str, Any] = {ATTRIBUTE: LABELS}

    def __init__(self, encoder: ClipEncoder, prompts: Tensor, *, prompts_hash: str | None = None) -> None:
        if tuple(prompts.shape) != (2, encoder.dimension):
            raise MismatchError(
                f"The Q16 embeddings have the shape {tuple(prompts.shape)}; the features of '{encoder.checkpoint}' "
                f"have {encoder.dimension} numbers.",
                f"a tensor of shape (2, {encoder.dimension}), the appropriate embedding first.",
                "the embeddings that were learned with this CLIP: 768 numbers for ViT-L/14, 512 for ViT-B/16 and 32.",
            )
        prompts = prompts.detach().float().cpu()
        if not prompts.isfinite().all() or (prompts.norm(dim=1) == 0).any():
            raise ModelError(
                "A Q16 embedding is zero or not finite.", "two directions.", "convert the original file again."
            )
        self.encoder = encoder
        self.prompts, self.prompts_hash = normalize(prompts, dim=1), prompts_hash

    @classmethod
    def load(
        cls,
        clip: str | Path | ClipEncoder = "openai/clip-vit-large-patch14",
        prompts_file: str | Path = "",
        **options: Any,
    ) -> Q16Judge:
        """Load embeddings and the CLIP that they belong to.

        clip: a checkpoint with `options` as for ClipEncoder.load, or an encoder. prompts_file: .safetensors with one
        tensor, .npy, or .pt of one tensor; never a pickle. ModelError for a file that is missing, a pickle or something
        else, and errors as for the class and the encoder.
        """
        prompts, digest = _read(Path(prompts_file).expanduser())
        encoder = clip if isinstance(clip, ClipEncoder) else ClipEncoder.load(clip, **options)
        return cls(encoder, prompts, prompts_hash=digest)

    @property
    def config(self) -> Mapping[str, Any]:
        """The CLIP with the hash of its weights, and the hash of the embeddings' file."""
        facts = {"classes": list(LABELS), "scale": SCALE, "prompts": self.prompts_hash}
        return {"judge": self.name, **self.encoder.identity, **facts}

    def chances(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        return {ATTRIBUTE: self.scores(images).softmax(dim=1)}

    def scores(self, images: Sequence[Image.Image]) -> Tensor:
        """Scores before softmax, float32 (N, 2), appropriate first, in -100..100."""
        return SCALE * self.encoder.images(images) @ self.prompts.T


def _read(path: Path) -> tuple[Tensor, str]:
    """The tensor in a file of embeddings, and the file's SHA-256. Nothing in the file is run."""
    source = Source(
        path,
        ModelError,
        "one tensor of shape (2, D) in a .safetensors, .npy or .pt file. The original prompts.p is a pickle, which "
        "can run any code when it is opened, so it is never opened here.",
        'where you trust that file, convert it once yourself: python -c "import pickle, numpy; '
        "numpy.save('prompts.npy', numpy.asarray(pickle.load(open('prompts.p', 'rb')), dtype='float32'))\"",
        f"The Q16 embeddings '{path}' cannot be read: the file",
    )
    suffix = path.suffix.lower()
    digest = hashlib.sha256(source.content()).hexdigest()
    if suffix == ".npy":
        array = reading.array(source)
        # A number too large for the precision becomes infinite, which the class refuses in words of its own.
        with np.errstate(over="ignore"):
            found: Any = torch.from_numpy(array.astype(np.float32)) if array.dtype.kind in "fiu" else None
    elif suffix == ".safetensors":
        _, tensors = reading.read(source)
        found = next(iter(tensors.values())) if len(tensors) == 1 else None
    elif suffix in (".pt", ".pth"):
        found = reading.of_torch(source)
    else:
        raise source.wrong("has a name that ends in none of .safetensors, .npy and .pt")
    if not isinstance(found, Tensor) or found.layout != torch.strided or found.is_quantized:
        raise source.wrong("does not hold one tensor of numbers alone")
    return found, digest
