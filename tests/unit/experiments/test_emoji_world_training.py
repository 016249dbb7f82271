"""Training the embedded models at their smallest: every stage runs, a killed run goes on, diffusers loads them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from directrix.errors import ModelError
from directrix.experiments.emoji_world.training import clip, config, loop, rectified_flow
from directrix.experiments.emoji_world.training.data import batches, scenes_of
from directrix.experiments.emoji_world.training.run import train
from directrix.models import embedded

LOAD_WITH_DIFFUSERS_ALONE = """
import sys
from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline
unet = StableDiffusionPipeline.from_pretrained(sys.argv[1] + "/emoji/pipeline")
transformer = StableDiffusion3Pipeline.from_pretrained(
    sys.argv[1] + "/emoji-sd3/pipeline", text_encoder_3=None, tokenizer_3=None
)
for pipeline in (unet, transformer):
    image = pipeline("a dark-skinned firefighter", num_inference_steps=2).images[0]
    assert image.size == (64, 64), image.size
assert not any(name.startswith("directrix") for name in sys.modules)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, drawings: Path) -> Path:
    return train(tmp_path_factory.mktemp("run"), drawings, config.read("tiny"), fetch_art=False)


def layout(folder: Path) -> dict[str, Any]:
    """All files of a folder, with the keys of those that hold settings."""

    def keys(value: Any) -> Any:
        return {name: keys(each) for name, each in value.items()} if isinstance(value, dict) else None

    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    settings = ("config.json", "model_index.json")
    return {
        name: keys(json.loads(path.read_text(encoding="utf-8"))) if name.endswith(settings) else None
        for name, path in files.items()
    }


@pytest.mark.slow  # tests/world does the same with the folders of the package, whose layout is that of the trained ones
def test_the_trained_folders_are_ordinary_pipelines(trained: Path) -> None:
    subprocess.run([sys.executable, "-c", LOAD_WITH_DIFFUSERS_ALONE, str(trained)], check=True)


def test_training_writes_what_the_package_ships(trained: Path) -> None:
    shipped = embedded.path()
    writers = [json.loads((shipped / name).read_text()) for name in ("model_index.json", "text_encoder/config.json")]
    if [version("diffusers"), version("transformers")] != [
        writers[0]["_diffusers_version"],
        writers[1]["transformers_version"],
    ]:
        pytest.skip("other versions of the libraries write other settings")
    written, packaged = layout(trained), layout(embedded.WEIGHTS)
    # `directrix world reference` writes what faces are compared with.
    packaged.pop("emoji/reference.safetensors")
    assert written == packaged


def test_the_transformer_learns_from_what_its_pipeline_will_give_it(trained: Path) -> None:
    from diffusers import StableDiffusion3Pipeline

    none: Any = {"text_encoder_3": None, "tokenizer_3": None}
    pipeline: Any = StableDiffusion3Pipeline.from_pretrained(trained / "emoji-sd3" / "pipeline", **none)
    prompts = ["a dark-skinned firefighter", ""]
    tokens = clip.tokenize(pipeline.tokenizer, prompts)
    settings = {"do_classifier_free_guidance": False, "max_sequence_length": tokens.shape[1]}
    with torch.no_grad():
        states, _, pooled, _ = pipeline.encode_prompt(prompts, None, None, **settings)
    learned = rectified_flow.conditions(pipeline.text_encoder, tokens)
    assert torch.equal(learned["encoder_hidden_states"], states)
    assert torch.equal(learned["pooled_projections"], pooled)


def test_the_trained_judge_loads_and_may_be_unsure(trained: Path, drawings: Path) -> None:
    from directrix.experiments.emoji_world.art import Art
    from directrix.experiments.emoji_world.render import render
    from directrix.measurement.judges.emoji import EmojiJudge

    pictures = [render(drawn, Art(drawings)) for drawn in scenes_of("biased", 5, 0)]
    verdicts = EmojiJudge.load(trained / "emoji" / "judge.safetensors").label(pictures)
    assert len(verdicts) == 5
    assert set(verdicts[0]) == {"subject", "gender", "tone", "item", "item category", "setting", "style"}
    # An untrained judge has no ground to name one of 37 subjects, and says so.
    assert all(v["subject"].label is None and "unsure" in (v["subject"].reason or "") for v in verdicts)


def test_the_clip_folder_is_an_ordinary_clip_model(trained: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(trained / "emoji" / "clip")
    tokens = CLIPTokenizer.from_pretrained(trained / "emoji" / "clip")(["a woman"], return_tensors="pt")
    scores = model(pixel_values=torch.zeros(1, 3, 64, 64), **tokens).logits_per_image
    assert scores.shape == (1, 1) and torch.isfinite(scores).all()


@pytest.mark.parametrize("shipped", [False, True])
def test_older_transformers_find_every_part(trained: Path, shipped: bool) -> None:
    """They look for these names; what they miss they draw at random, and only warn."""
    from safetensors import safe_open

    models = embedded.WEIGHTS if shipped else trained
    encoders = sorted(models.glob("*/pipeline/text_encoder*/model.safetensors"))
    assert len(encoders) == 3
    for encoder in encoders:
        with safe_open(encoder, "pt") as file:
            others = [name for name in file.keys() if not name.startswith("text_model.")]  # noqa: SIM118
        assert others == (["text_projection.weight"] if "sd3" in str(encoder) else [])
    tokenizers = sorted(models.glob("*/pipeline/tokenizer*"))
    assert len(tokenizers) == 3
    for folder in (*tokenizers, models / "emoji" / "clip"):
        assert (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
        if not (folder / "tokenizer.json").exists():
            continue
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        assert json.loads((folder / "vocab.json").read_text(encoding="utf-8")) == model["vocab"]
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        assert [line.split(" ") for line in lines[1:]] == [list(pair) for pair in model["merges"]]


def test_a_folder_of_another_configuration_is_refused(trained: Path, drawings: Path) -> None:
    other = replace(config.read("tiny"), views=1)
    with pytest.raises(ModelError, match="another configuration"):
        train(trained.parent, drawings, other, fetch_art=False)


class Killed(Exception):
    pass


def killing(loss: Callable[[int], torch.Tensor], at: int | None) -> Callable[[int], torch.Tensor]:
    """The same loss until a step at which the run is killed."""

    def of_step(step: int) -> torch.Tensor:
        if step == at:
            raise Killed
        return loss(step)

    return of_step


def test_a_run_killed_in_its_last_stage_does_only_the_rest(
    trained: Path, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, folder = trained.parent, tmp_path / "run"
    shutil.copytree(done, folder, ignore=shutil.ignore_patterns("model", "transformer_*"))
    stage = Path("transformer_model", "diffusion_pytorch_model.safetensors")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
        whole = rectified_flow.loss
        patch.setattr(rectified_flow, "loss", lambda *given: killing(whole(*given), 2))
        train(folder, drawings, config.read("tiny"), fetch_art=False)
    assert not (folder / stage).exists()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*_model/*")}
    models = train(folder, drawings, config.read("tiny"), fetch_art=False)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert (folder / stage).read_bytes() == (done / stage).read_bytes()
    assert layout(models) == layout(trained)


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    schedule = config.Schedule(12, 0.05)

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(3, 2)

    def loss_of(module: nn.Module, step: int) -> torch.Tensor:
        return (module(torch.randn(4, 3, generator=loop.seeded(1, step, torch.device("cpu")))) - 1).square().mean()

    def run(module: nn.Module, folder: Path, stop: int | None) -> nn.Module:
        loop.train(module, killing(lambda step: loss_of(module, step), stop), schedule, folder, "test")
        return module

    unbroken = run(fresh(), tmp_path / "a", None)
    with pytest.raises(Killed):
        run(fresh(), tmp_path / "b", 7)
    resumed = run(fresh(), tmp_path / "b", None)
    assert torch.equal(unbroken.weight, resumed.weight)  # type: ignore[arg-type]


def test_the_learning_rate_falls_as_half_a_cosine() -> None:
    schedule = config.Schedule(100, 0.5, decay=0.4, warm_up=10, cosine=True)
    rates = [schedule.rate(step) for step in (0, 9, 60, 70, 80, 90, 99)]
    falling = [(1 - np.cos(np.pi * share)) / 4 for share in (0.75, 0.5, 0.25, 0.025)]
    assert rates == pytest.approx([0.05, 0.5, 0.5, *falling])


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
