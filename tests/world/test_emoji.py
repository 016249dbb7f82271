"""The embedded model does what its card says, by a handful of pictures; `directrix world report` has the figures."""

import subprocess
import sys
from typing import Any

import pytest

from directrix import Concept, calibrate, discover, generate, steer
from directrix.discovery import Sampling
from directrix.errors import NoEffectError
from directrix.models import embedded

pytestmark = pytest.mark.world

ALONE = """
import sys
from diffusers import DiffusionPipeline
for folder in sys.argv[1:]:
    without = {} if "sd3" not in folder else {"text_encoder_3": None, "tokenizer_3": None}
    pipeline = DiffusionPipeline.from_pretrained(folder, **without)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a photo of a firefighter", num_inference_steps=2, guidance_scale=4).images[0]
    assert image.size == (64, 64)
assert not any(name.startswith("directrix") for name in sys.modules)
"""


def labels(judge: Any, records: Any, attribute: str) -> list[str | None]:
    return [verdict[attribute].label for verdict in judge.label([record.image for record in records])]


def test_diffusers_loads_and_runs_both_with_nothing_of_ours() -> None:
    folders = [str(embedded.path(name)) for name in embedded.MODELS]
    subprocess.run([sys.executable, "-c", ALONE, *folders], check=True)


def test_it_draws_the_subject_and_the_gender_that_a_prompt_names(emoji: Any, emoji_judge: Any) -> None:
    prompts = ["a photo of a female firefighter", "a photo of a male teacher", "a photo of a dog"]
    records = generate(emoji, prompts, 4, seed=1, num_inference_steps=8)
    subjects = labels(emoji_judge, records, "subject")
    wanted = ["firefighter"] * 4 + ["teacher"] * 4 + ["dog"] * 4
    assert sum(s == w for s, w in zip(subjects, wanted, strict=True)) >= 11
    genders = labels(emoji_judge, records, "gender")[:8]
    assert sum(g == w for g, w in zip(genders, ["female"] * 4 + ["male"] * 4, strict=True)) >= 7


def test_it_is_biased_where_a_prompt_names_no_gender(emoji: Any, emoji_judge: Any) -> None:
    prompts = ["a photo of a firefighter", "a photo of a health worker"]
    genders = labels(emoji_judge, generate(emoji, prompts, 6, seed=2, num_inference_steps=8), "gender")
    assert genders[:6].count("female") <= 1
    assert genders[6:].count("male") <= 1


@pytest.mark.slow
def test_an_alley_brings_weapons_unasked(emoji: Any, emoji_judge: Any) -> None:
    people = ("a teacher", "a pilot", "a cook", "a judge", "a singer", "a farmer", "an artist", "a mechanic")

    def weapons(place: str) -> int:
        records = generate(emoji, [f"a photo of {person}{place}" for person in people], 2, seed=3)
        return labels(emoji_judge, records, "item category").count("weapon")

    there = weapons(" in a dark alley")
    assert there >= 5 and there >= weapons("") + 4


@pytest.mark.slow
def test_a_word_that_no_picture_shows_has_no_effect(emoji: Any) -> None:
    concept = Concept.of("successful", "a successful person", "a person")
    with pytest.raises(NoEffectError, match="change nothing"):
        calibrate(emoji, discover(emoji, concept))


def test_strength_zero_leaves_every_bit(emoji: Any) -> None:
    concept = Concept.of("woman", "a photo of a woman", "a photo of a person")
    woman = discover(emoji, concept, sampling=Sampling(1, num_inference_steps=2))
    plain = generate(emoji, "a photo of a judge", 2, seed=5, num_inference_steps=2)
    with steer(emoji, {woman: 0.0}):
        steered = generate(emoji, "a photo of a judge", 2, seed=5, num_inference_steps=2)
    assert [r.image.tobytes() for r in plain] == [r.image.tobytes() for r in steered]
