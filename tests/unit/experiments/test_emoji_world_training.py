"""Training the embedded model at its smallest: every stage runs, a killed run goes on, diffusers loads the result."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from directrix.errors import ModelError
from directrix.experiments.emoji_world.training import clip, config, loop
from directrix.experiments.emoji_world.training.data import batches, scenes_of
from directrix.experiments.emoji_world.training.run import train

LOAD_WITH_DIFFUSERS_ALONE = """
import sys
from dataclasses import replace
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1])
image = pipeline("a dark-skinned firefighter", num_inference_steps=2).images[0]
assert image.size == (64, 64), image.size
assert not any(name.startswith("directrix") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, drawings: Path) -> Path:
    return train(tmp_path_factory.mktemp("run"), drawings, config.read("tiny"), fetch_art=False)


def test_the_trained_folder_is_an_ordinary_pipeline(trained: Path) -> None:
    subprocess.run([sys.executable, "-c", LOAD_WITH_DIFFUSERS_ALONE, str(trained / "pipeline")], check=True)


def test_the_trained_judge_loads_and_may_be_unsure(trained: Path, drawings: Path) -> None:
    from directrix.experiments.emoji_world.art import Art
    from directrix.experiments.emoji_world.render import render
    from directrix.measurement.judges.emoji import EmojiJudge

    pictures = [render(drawn, Art(drawings)) for drawn in scenes_of("biased", 5, 0)]
    verdicts = EmojiJudge.load(trained / "judge.safetensors").label(pictures)
    assert len(verdicts) == 5
    assert set(verdicts[0]) == {"subject", "gender", "tone", "item", "item category", "setting", "style"}
    # An untrained judge has no ground to name one of 37 subjects, and says so.
    assert all(v["subject"].label is None and "unsure" in (v["subject"].reason or "") for v in verdicts)


def test_the_clip_folder_is_an_ordinary_clip_model(trained: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(trained / "clip")
    tokens = CLIPTokenizer.from_pretrained(trained / "clip")(["a woman"], return_tensors="pt")
    scores = model(pixel_values=torch.zeros(1, 3, 64, 64), **tokens).logits_per_image
    assert scores.shape == (1, 1) and torch.isfinite(scores).all()


@pytest.mark.parametrize("shipped", [False, True])
def test_older_transformers_find_every_part(trained: Path, shipped: bool) -> None:
    """They look for these names; what they miss they draw at random, and only warn."""
    from safetensors.torch import load_file

    from directrix.models import embedded

    pipeline, clip_folder = (
        (embedded.path(), embedded.clip_path()) if shipped else (trained / "pipeline", trained / "clip")
    )
    names = load_file(pipeline / "text_encoder" / "model.safetensors")
    assert names and all(name.startswith("text_model.") for name in names)
    for folder in (pipeline / "tokenizer", clip_folder):
        assert (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
        if not (folder / "tokenizer.json").exists():
            continue
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        assert json.loads((folder / "vocab.json").read_text(encoding="utf-8")) == model["vocab"]
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        assert [line.split(" ") for line in lines[1:]] == [list(pair) for pair in model["merges"]]


def test_done_stages_are_not_done_again(trained: Path, drawings: Path) -> None:
    folder = trained.parent
    before = (folder / "unet_model" / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns
    train(folder, drawings, config.read("tiny"), fetch_art=False)
    assert (folder / "unet_model" / "diffusion_pytorch_model.safetensors").stat().st_mtime_ns == before


def test_a_folder_of_another_configuration_is_refused(trained: Path, drawings: Path) -> None:
    other = replace(config.read("tiny"), views=1)
    with pytest.raises(ModelError, match="another configuration"):
        train(trained.parent, drawings, other, fetch_art=False)


class Killed(Exception):
    pass


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    schedule = config.Schedule(12, 0.05)

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(3, 2)

    def loss_of(module: nn.Module, step: int) -> torch.Tensor:
        return (module(torch.randn(4, 3, generator=loop.seeded(1, step))) - 1).square().mean()

    def run(module: nn.Module, folder: Path, stop: int | None) -> nn.Module:
        def loss(step: int) -> torch.Tensor:
            if step == stop:
                raise Killed
            return loss_of(module, step)

        loop.train(module, loss, schedule, folder, "test")
        return module

    unbroken = run(fresh(), tmp_path / "a", None)
    with pytest.raises(Killed):
        run(fresh(), tmp_path / "b", 7)
    resumed = run(fresh(), tmp_path / "b", None)
    assert torch.equal(unbroken.weight, resumed.weight)  # type: ignore[arg-type]
    halved = fresh()
    loop.train(halved, lambda step: loss_of(halved, step), schedule, tmp_path / "c", "test", until=5)
    assert loop.finished(fresh(), 5, tmp_path / "c") and not loop.finished(fresh(), 6, tmp_path / "c")
    assert torch.equal(run(halved, tmp_path / "c", None).weight, unbroken.weight)  # type: ignore[arg-type]
    again = fresh()
    assert loop.finished(again, schedule.steps, tmp_path / "a")
    assert torch.equal(again.weight, unbroken.weight)  # type: ignore[arg-type]
    assert not loop.finished(again, 13, tmp_path / "a")


def test_batches_cover_every_picture_once_an_epoch() -> None:
    pick = batches(10, 4, seed=5)
    rows = torch.cat([pick(step) for step in range(5)]).tolist()
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert torch.equal(pick(3), batches(10, 4, seed=5)(3))


def test_captions_true_of_another_picture_are_no_negatives() -> None:
    torch.manual_seed(0)
    images = nn.functional.normalize(torch.randn(3, 8), dim=1)
    texts = nn.functional.normalize(torch.randn(3, 8), dim=1)
    none = torch.eye(3, dtype=torch.bool)
    plain = clip.contrastive_loss(images, texts, torch.tensor(5.0), none)
    logits = 5 * images.numpy() @ texts.numpy().T
    soft = [(x - np.log(np.exp(x).sum(1, keepdims=True))).diagonal().mean() for x in (logits, logits.T)]
    assert float(plain) == pytest.approx(-sum(soft) / 2, abs=1e-5)
    every = torch.ones(3, 3, dtype=torch.bool)
    assert float(clip.contrastive_loss(images, texts, torch.tensor(5.0), every)) == pytest.approx(0, abs=1e-6)
