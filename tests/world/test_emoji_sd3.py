"""The embedded transformer does what its card says, steers, and is known by its name on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

import directrix
from directrix import Concept, discover, generate, models, steer
from directrix.cli import main
from directrix.concept import SKIN_TONE
from directrix.discovery import Sampling
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.environment import frozen
from directrix.discovery.first_step import FirstStep
from directrix.discovery.frozen_denoiser import FrozenDenoiser
from directrix.discovery.pipeline_calls import PipelineCall
from directrix.models import embedded, model_facts, sites
from directrix.models.steerable import SteerableModel

pytestmark = pytest.mark.world
MODEL = ["--model", "emoji-sd3", "--device", "cpu"]


@pytest.fixture(scope="module")
def emoji_sd3() -> Any:
    return directrix.load("emoji-sd3", device="cpu")


def images(pipeline: Any, prompts: list[str]) -> list[bytes]:
    return [record.image.tobytes() for record in generate(pipeline, prompts, seed=5, num_inference_steps=2)]


def test_it_is_known_by_its_name_however_it_is_loaded(emoji_sd3: Any) -> None:
    from diffusers import StableDiffusion3Pipeline

    folder = embedded.path("emoji-sd3")
    alone = StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)
    assert models.identity(alone) == models.identity(emoji_sd3) == models.identity(directrix.load(folder))
    assert models.identity(alone).name == "emoji-sd3"
    facts = models.facts(alone)
    assert (facts.prediction_type, facts.latent_shape) == ("flow_prediction", (4, 16, 16))
    # The folder above holds no pipeline.
    assert embedded.named(embedded.path()) == "emoji" and embedded.named(folder.parent) is None


def test_it_draws_the_subject_and_the_gender_that_a_prompt_names(emoji_sd3: Any, emoji_judge: Any) -> None:
    prompts = ["a photo of a female firefighter", "a photo of a male teacher"]
    records = generate(emoji_sd3, prompts, 3, seed=1, num_inference_steps=10)
    verdicts = emoji_judge.label([record.image for record in records])
    assert [verdict["subject"].label for verdict in verdicts].count("firefighter") == 3
    assert [verdict["gender"].label for verdict in verdicts] == ["female"] * 3 + ["male"] * 3


def test_it_is_steered_image_by_image(emoji_sd3: Any) -> None:
    """Strength 0 leaves every bit, and an image is the same whatever stands beside it."""
    concept = Concept.of("woman", "a photo of a woman", "a photo of a person")
    woman = discover(emoji_sd3, concept, sampling=Sampling(1, num_inference_steps=2))
    assert woman.site == sites.find(emoji_sd3) and woman.site.name.startswith("transformer_blocks.")
    plain = images(emoji_sd3, ["a judge", "a pilot"])
    with steer(emoji_sd3, {woman: 0.0}):
        assert images(emoji_sd3, ["a judge", "a pilot"]) == plain
    with steer(emoji_sd3, {woman: [0.0, 5.0]}):
        beside = images(emoji_sd3, ["a judge", "a pilot"])
    assert beside[0] == plain[0] and beside[1] != plain[1]
    assert images(emoji_sd3, ["a judge", "a pilot"]) == plain


def test_brown_skin_says_its_words_in_the_padding_and_reaches_further_by_them(emoji_sd3: Any) -> None:
    """The middle one of three tones leads least straight without, on more images than the rule looks at."""
    found = discover_attribute(emoji_sd3, SKIN_TONE)
    assert [each.recipe["word_tokens"] > 0 for each in found] == [False, True, False]
    brown, model = found[1], SteerableModel.of(emoji_sd3)
    parts = [each for each in brown.parts if each.is_conditional]
    text = next(each for each in parts if each.site.layout == "text")
    padded, said = 48, text.tensor.clone()
    # Elsewhere all tokens get the same vector.
    said[padded - brown.recipe["word_tokens"] : padded] = said[1]
    without = [text.with_tensor(said) if each is text else each for each in parts]
    tones = SKIN_TONE.among(model.facts.subjects).concepts
    with frozen(model):
        denoiser = FrozenDenoiser(model, model.find_site(), PipelineCall.of(model, Sampling()))
        first = FirstStep(denoiser, model.facts.guidance_scale)
        reach = [first.along(tones[1], [tones[0], tones[2]], each) for each in (without, parts)]
    assert reach[0] > 0.1 and 1.5 * reach[0] < reach[1] < 1.2


def test_the_command_line_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {**model_facts.cards()["emoji-sd3"], "num_inference_steps": 1}
    monkeypatch.setattr(model_facts, "cards", lambda: {"emoji-sd3": few})

    def said(*words: str) -> dict[str, Any]:
        assert main([*words, *MODEL, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    found = said("sites")
    assert found["model"] == "emoji-sd3"
    file = str(tmp_path / "woman.safetensors")
    words = ["--target", "a woman", "--neutral", "a person"]
    said("discover", *words, "--training-images", "1", "--no-calibration", "-o", file)
    woman = directrix.Direction.load(file)
    assert woman.model.name == "emoji-sd3"
    assert [each["name"] for each in found["sites"] if each["default"]] == [woman.site.name]
    said("generate", "--prompt", "a pilot", "--direction", f"{file}:1.0", "-o", str(tmp_path / "drawn"))
    assert "emoji-sd3" in (tmp_path / "drawn" / "manifest.jsonl").read_text(encoding="utf-8")
