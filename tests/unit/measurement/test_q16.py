"""Q16 against its formula worked out one picture at a time, and the files that it takes and refuses."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from directrix.errors import MismatchError, ModelError
from directrix.measurement.judges.clip import ClipEncoder
from directrix.measurement.judges.q16 import Q16Judge


@pytest.fixture(scope="module")
def encoder(make_clip: Any) -> ClipEncoder:
    return ClipEncoder(*make_clip(), checkpoint="tiny")


@pytest.fixture(scope="module")
def prompts() -> torch.Tensor:
    # Not of length 1, as the original ones.
    return 3 * torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(4)]


def chance(feature: list[float], prompts: list[list[float]]) -> float:
    """The chance of the second embedding, by plain numbers."""

    def cosine(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    first, second = (100 * cosine(feature, each) for each in prompts)
    return 1 / (1 + math.exp(first - second))


def agrees(judge: Q16Judge, pictures: list[Image.Image], prompts: torch.Tensor) -> set[str | None]:
    labels = set()
    for picture, verdict in zip(pictures, judge.label(pictures), strict=True):
        values = judge.encoder.image_processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            model = judge.encoder.model
            feature = model.visual_projection(model.vision_model(values).pooler_output)[0]
        expected = chance(feature.double().tolist(), prompts.double().tolist())
        found = verdict["q16"]
        assert found.label == ("inappropriate" if expected > 0.5 else "appropriate")
        assert found.confidence == pytest.approx(max(expected, 1 - expected), abs=2e-3)
        labels.add(found.label)
    return labels


def test_it_agrees_with_its_formula_on_a_tiny_clip(
    encoder: ClipEncoder, prompts: torch.Tensor, pictures: list[Image.Image]
) -> None:
    # Two embeddings that some pictures lie on either side of.
    features = encoder.images(pictures)
    prompts = torch.stack([features[0] * 5, features[1] * 0.1])
    assert agrees(Q16Judge(encoder, prompts), pictures, prompts) == {"appropriate", "inappropriate"}
    swapped = Q16Judge(encoder, prompts.flip(0)).label(pictures[:2])
    assert [each["q16"].label for each in swapped] == ["inappropriate", "appropriate"]


@pytest.mark.world
def test_it_agrees_with_its_formula_on_the_embedded_clip(pictures: list[Image.Image]) -> None:
    encoder = ClipEncoder.load("emoji", device="cpu")
    features = encoder.images(pictures)
    prompts = torch.stack([features[0], features[1]]) * 2
    assert agrees(Q16Judge(encoder, prompts), pictures, prompts) == {"appropriate", "inappropriate"}


@pytest.mark.parametrize("name", ["prompts.npy", "prompts.safetensors", "prompts.pt"])
def test_files_of_three_kinds(
    encoder: ClipEncoder, prompts: torch.Tensor, pictures: list[Image.Image], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, prompts.double().numpy())
    elif name.endswith("safetensors"):
        save_file({"prompts": prompts}, path)
    else:
        torch.save(prompts.half(), path)
    judge = Q16Judge.load(encoder, path)
    torch.testing.assert_close(judge.scores(pictures), Q16Judge(encoder, prompts).scores(pictures), atol=0.1, rtol=0)
    assert len(judge.config["prompts"]) == 64 and judge.config["checkpoint"] == "tiny"


class _Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["prompts.p", "prompts.pt", "prompts.npy", "prompts.safetensors"])
def test_a_pickle_is_never_opened_and_the_way_out_is_told(encoder: ClipEncoder, tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    (tmp_path / name).write_bytes(pickle.dumps(_Trap(trace)))
    with pytest.raises(ModelError, match=r"prompts\.p is a pickle.*Try: .*numpy\.save"):
        Q16Judge.load(encoder, tmp_path / name)
    assert not trace.exists()


def test_the_conversion_that_is_told_works(encoder: ClipEncoder, prompts: torch.Tensor, tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "prompts.p").write_bytes(pickle.dumps(prompts.numpy()))
    with pytest.raises(ModelError) as refused:
        Q16Judge.load(encoder, tmp_path / "prompts.p")
    code = refused.value.remedy.split('-c "')[1].rstrip('"')
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert Q16Judge.load(encoder, tmp_path / "prompts.npy").prompts.shape == (2, 8)


def test_what_is_no_pair_of_embeddings_is_refused(encoder: ClipEncoder, prompts: torch.Tensor, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((2, 768)))
    with pytest.raises(MismatchError, match=r"\(2, 768\).*have 8 numbers.*ViT-L/14"):
        Q16Judge.load(encoder, tmp_path / "wide.npy")
    for wrong in (prompts[:1], prompts[0], torch.ones(3, 8)):
        with pytest.raises(MismatchError):
            Q16Judge(encoder, wrong)
    for value in (0.0, math.nan):
        broken = prompts.clone()
        broken[1] = value
        with pytest.raises(ModelError, match="zero or not finite"):
            Q16Judge(encoder, broken)
    np.save(tmp_path / "huge.npy", np.full((2, 8), 1e300))
    with pytest.raises(ModelError, match="zero or not finite"):
        Q16Judge.load(encoder, tmp_path / "huge.npy")
    np.savez(tmp_path / "many.npz", a=np.ones(1))
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    torch.save({"a": prompts, "b": prompts}, tmp_path / "two.pt")
    (tmp_path / "text.pt").write_text("nothing")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name in ("many.npy", "two.pt", "text.pt", "empty.safetensors", "absent.npy"):
        with pytest.raises(ModelError, match="cannot be read"):
            Q16Judge.load(encoder, tmp_path / name)
