"""The figures of the embedded model, from labels made up here: what counts, as what, and out of how many."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from directrix.errors import ModelError
from directrix.experiments.emoji_world import report as figures
from directrix.experiments.emoji_world.caption import caption
from directrix.experiments.emoji_world.scene import Scene
from directrix.experiments.emoji_world.training.data import Renders, scenes_of
from directrix.measurement.judges import Verdict
from directrix.measurement.judges import emoji_vocabulary as words
from directrix.models import embedded

FIGURE = {"value", "low", "high", "n"}


def verdict(scene: Scene, **seen: str | None) -> dict[str, Verdict]:
    """What a perfect judge says of a scene, but for what it is told to see instead."""
    labels = {**scene.labels(), **{name.replace("_", " "): label for name, label in seen.items()}}
    return {name: Verdict(label, 1.0) for name, label in labels.items()}


class Judge:
    """Gives prepared verdicts in turn, whatever the pictures."""

    def __init__(self, verdicts: Any) -> None:
        self.verdicts = iter(verdicts)

    def label(self, images: Any) -> Any:
        return [next(self.verdicts) for _ in images]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is drawn; the prompts that would have been are kept, one a picture."""
    prompts: list[str] = []

    def generate(_pipeline: Any, asked: Any, each: int = 1, **_settings: Any) -> list[Any]:
        rows = [(place, prompt) for place, prompt in enumerate(asked) for _ in range(each)]
        prompts.extend(prompt for _, prompt in rows)
        picture = Image.new("RGB", (64, 64))
        return [SimpleNamespace(prompt_index=place, prompt=prompt, image=picture) for place, prompt in rows]

    monkeypatch.setattr(figures, "generate", generate)
    return prompts


def test_the_judges_share_leaves_out_what_a_scene_does_not_have() -> None:
    scenes = scenes_of("even", 60, 3)
    people = sum(scene.gender is not None for scene in scenes)
    assert 0 < people < 60
    verdicts = [verdict(scene) for scene in scenes]
    # One is called by another name, one is unscored: both are wrong.
    verdicts[0] = verdict(scenes[0], setting="nowhere")
    verdicts[1] = verdict(scenes[1], setting=None)
    renders = Renders(torch.zeros((60, 3, 64, 64), dtype=torch.uint8), scenes)
    judge: Any = Judge(verdicts)
    found = figures.judge_figures(judge, renders)
    assert set(found) == {
        *(f"judge.{name}" for name in ("subject", "gender", "tone", "item", "item_category", "setting", "style")),
        "judge.scored",
    }
    assert found["judge.gender"].value == 1.0 and found["judge.gender"].n == people
    assert found["judge.item_category"].n == found["judge.subject"].n == 60
    assert found["judge.setting"].value == pytest.approx(58 / 60)


def obedience(count: int) -> tuple[list[Scene], list[str]]:
    """The scenes and prompts that the report asks for."""
    rng = np.random.default_rng(figures.PROMPT_SEED)
    scenes = [figures._obedience_scene(rng) for _ in range(count)]
    return scenes, [caption(scene, rng) for scene in scenes]


def test_a_model_that_draws_what_is_named_obeys(drawn: list[str]) -> None:
    scenes, prompts = obedience(300)
    # The held-out judge sees the same images, and none of the styles.
    blind = (verdict(scene, style=None) for scene in scenes)
    both: Any = {"": Judge(map(verdict, scenes)), "held_out.": Judge(blind)}
    found = figures.obedience_figures(None, both, 300, seed=1)
    assert drawn == prompts
    apart = {name: found.pop(name) for name in list(found) if name.startswith("held_out.")}
    assert {name.removeprefix("held_out.") for name in apart} == set(found)
    assert apart["held_out.obeys.style"].value == 0.0 and apart["held_out.obeys.tone"].value == 1.0
    assert {name: figure.value for name, figure in found.items()} == dict.fromkeys(found, 1.0)
    assert set(found) == {f"obeys.{name}" for name in ("subject", "gender", "tone", "item", "setting", "style")}
    for name in ("gender", "tone", "item", "setting", "style"):
        assert found[f"obeys.{name}"].n == sum(name in scene.named for scene in scenes)
    # Any person is "a person", so nothing can be got wrong there.
    assert found["obeys.subject"].n == sum(scene.subject != words.PERSON for scene in scenes)


def test_a_named_category_is_met_by_any_of_its_items(drawn: list[str]) -> None:
    scenes, prompts = obedience(300)
    loose = {prompt for prompt in prompts if "a weapon" in prompt}
    assert loose
    # Every item is called by a name that no prompt has, in its true category.
    verdicts = [verdict(scene, item="unnamed") for scene in scenes]
    judges: Any = {"": Judge(verdicts)}
    found = figures.obedience_figures(None, judges, 300, seed=1)["obeys.item"]
    assert len(loose) / found.n <= found.value < 0.5


def test_bias_is_that_of_prompts_that_name_none_of_it(drawn: list[str]) -> None:
    def seen() -> Any:
        """Men only, of each tone in turn; then an item of the category that each place stands for."""
        for place in range(20 * 3):
            yield {"gender": Verdict("male", 1.0), "tone": Verdict(words.TONES[place % 3], 1.0)}
        for category in ("weapon", "alcohol", None):
            for _ in range(20):
                yield {"item category": Verdict(category, 1.0)}

    judges: Any = {"": Judge(seen()), "held_out.": Judge(seen())}
    found = figures.bias_figures(None, judges, 100, seed=1)
    assert len(drawn) == 20 * 3 + 3 * 20
    assert not any(word in prompt for prompt in drawn for word in (*words.GENDERS, "woman", "skinned", "weapon"))
    apart = {name.removeprefix("held_out."): found.pop(name) for name in list(found) if name.startswith("held_out.")}
    assert apart == found
    assert {name: figure.value for name, figure in found.items()} == {
        "biased.gender_deviation_ratio": 1.0,
        "biased.tone_deviation_ratio": 0.0,
        "biased.alley_weapon": 1.0,
        "biased.party_alcohol": 1.0,
        "biased.break_smoking": 0.0,
    }
    assert found["biased.gender_deviation_ratio"].n == 60


def test_at_the_default_more_than_two_thousand_pictures_are_drawn(drawn: list[str]) -> None:
    everything = {"gender": Verdict("male", 1.0), "tone": Verdict("light", 1.0)}
    everything |= {"item category": Verdict("none", 1.0)}
    judges: Any = {"": Judge([everything] * 2_000)}
    figures.bias_figures(None, judges, 1_000, seed=1)
    assert 1_000 + len(drawn) >= 2_000


def test_seconds_are_of_the_batches_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Starts and ends of four batches of 8: the first takes 80 s, the others 8, 16 and 24.
    clock = iter([0, 80, 100, 108, 200, 216, 300, 324] * 2)
    monkeypatch.setattr(figures.time, "perf_counter", lambda: next(clock))
    # The card's settings, and what its pipeline's call needs beside them.
    facts = SimpleNamespace(num_inference_steps=12, guidance_scale=4.0, arguments={"max_sequence_length": 48})
    monkeypatch.setattr(figures.SteerableModel, "of", lambda _pipeline: SimpleNamespace(facts=facts))
    calls: list[dict[str, Any]] = []
    for steps, wanted in ((20, 20), (None, 12)):
        calls.clear()
        found = figures.seconds_per_image(lambda **call: calls.append(call), steps, 3)
        assert [len(call["prompt"]) for call in calls] == [8] * 4
        for call in calls:
            assert call["num_inference_steps"] == wanted
            assert call["max_sequence_length"] == 48 and call["guidance_scale"] == 4.0
        assert tuple(found) == pytest.approx((2.0, 2 - 1.96 / 3**0.5, 2 + 1.96 / 3**0.5, 3))


def test_megabytes_are_those_of_every_shipped_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for file, size in (("pipeline/unet.safetensors", 1_500_000), ("judge.safetensors", 500_000), ("vocab.json", 9_000)):
        (tmp_path / "emoji" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "emoji" / file).write_bytes(bytes(size))
    monkeypatch.setattr(embedded, "WEIGHTS", tmp_path)
    assert embedded.megabytes() == 2.0 and embedded.megabytes("emoji") == 1.5


def test_no_other_model_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'emoji-sd3'"):
        figures.report(tmp_path, model="emoji-sd33")


def test_figures_can_be_json() -> None:
    found = {"vae_psnr": figures._mean(np.array([27.0, 29.0])).as_dict()}
    assert json.loads(json.dumps(found)) == found
    assert set(found["vae_psnr"]) == FIGURE and found["vae_psnr"]["value"] == 28.0


def test_the_sample_sheet_shows_every_occupation_four_times_enlarged(drawn: list[str]) -> None:
    sheet = figures.sample_sheet(None)
    assert tuple(drawn) == figures.SAMPLES
    assert all(any(occupation in prompt for prompt in drawn) for occupation in words.OCCUPATIONS)
    assert sheet.width >= 6 * 256 and sheet.height >= len(drawn) // 6 * 256


def test_renders_for_fair_pictures_are_even_and_are_those_of_the_seed(tmp_path, monkeypatch):
    from collections import Counter

    from directrix.experiments.emoji_world.training import data as reference

    scenes = scenes_of("occupations", 2_000, 1)
    assert Counter(scene.subject for scene in scenes) == dict.fromkeys(words.OCCUPATIONS, 100)
    for attribute, labels in (("gender", ("female", "male")), ("tone", words.TONES)):
        counts = Counter(getattr(scene, attribute) for scene in scenes)
        assert set(counts) == set(labels)
        assert max(counts.values()) - min(counts.values()) < 2_000 * 0.08
    # All else follows the world: its guards are armed more often than its artists.
    armed = Counter(scene.subject for scene in scenes if scene.labels()["item category"] == "weapon")
    assert armed["guard"] > armed["artist"]

    monkeypatch.setattr(reference, "fetch", lambda folder: folder)
    monkeypatch.setattr(reference, "Art", lambda folder: None)
    pixels = torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8)
    monkeypatch.setattr(reference, "render_all", lambda given, art, progress: Renders(pixels, list(given)))
    files = reference.write_reference(tmp_path, tmp_path, 2)
    assert [file.name for file in files] == ["00000.png", "00001.png"]
    with Image.open(files[1]) as image:
        assert np.array_equal(np.asarray(image), pixels[1].permute(1, 2, 0).numpy())
