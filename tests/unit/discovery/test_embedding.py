"""Directions at what a denoiser is given about the prompt: text states and pooled embeddings, found without it."""

from typing import Any

import pytest
import torch

import directrix
from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.settings import Orthogonalization
from directrix.errors import MismatchError, SiteError
from directrix.models.identity import Site
from directrix.policies.fair import Fair
from unit.models.families import survey
from unit.models.families.checks import arguments
from unit.models.families.parts import families

WOMAN = Concept.of("woman", "a woman", "a person")
MAN = Concept.of("man", "a man", "a person")
# A model of each way to give text: one encoder, two and a pooled embedding, tokens of two encoders in a row, a pooled
# embedding beside T5's tokens, a mask, texts of their own length.
FAMILIES = {
    "StableDiffusionPipeline": ["encoder_hidden_states"],
    "StableDiffusionXLPipeline": ["encoder_hidden_states", "added_cond_kwargs.text_embeds"],
    "StableDiffusion3Pipeline": ["encoder_hidden_states", "pooled_projections"],
    "FluxPipeline": ["pooled_projections", "encoder_hidden_states"],
    "PixArtAlphaPipeline": ["encoder_hidden_states"],
    "QwenImagePipeline": ["encoder_hidden_states"],
}


def drawn(pipeline: Any, **more: Any) -> torch.Tensor:
    call: dict[str, Any] = {
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "output_type": "pt",
        "height": 16,
        "width": 16,
    }
    return pipeline(**call | {"generator": torch.Generator().manual_seed(3)} | more).images


def test_it_adds_what_the_words_change_in_the_text_states(pipeline: Any):
    woman = directrix.discover(pipeline, WOMAN, "embedding")
    states, target = (pipeline.encode_prompt(text, "cpu", 1, False)[0] for text in ("a person", "a woman"))
    # The first token is the same for every prompt, and stays; the others share one vector.
    mean = (target - states)[0, 1:].mean(dim=0)
    assert not woman.tensor[0].any()
    torch.testing.assert_close(woman.tensor[1:], mean.expand(len(woman.tensor) - 1, -1), rtol=1e-4, atol=1e-5)
    other = pipeline.encode_prompt("a judge", "cpu", 1, False)[0]
    with directrix.steer(pipeline, {woman: 0.7}):
        steered = drawn(pipeline, prompt="a judge")
    asked = drawn(pipeline, prompt_embeds=other + 0.7 * woman.tensor, negative_prompt_embeds=_empty(pipeline))
    torch.testing.assert_close(steered, asked, rtol=1e-3, atol=1e-4)


def _empty(pipeline: Any) -> torch.Tensor:
    return pipeline.encode_prompt("", "cpu", 1, False)[0]


def test_it_asks_the_denoiser_nothing(pipeline: Any):
    recipe = directrix.discover(pipeline, WOMAN, "embedding").recipe
    assert recipe["denoiser_evaluations"] == {"collecting": 0, "forward": 0, "forward_backward": 0}


def test_strength_0_and_what_comes_after_keep_their_bits(pipeline: Any):
    woman = directrix.discover(pipeline, WOMAN, "embedding")
    plain = drawn(pipeline, prompt=["a judge", "a dog"])
    with directrix.steer(pipeline, {woman: [0.0, 1.0]}):
        some = drawn(pipeline, prompt=["a judge", "a dog"])
    assert torch.equal(some[0], plain[0]) and not torch.equal(some[1], plain[1])
    assert torch.equal(drawn(pipeline, prompt=["a judge", "a dog"]), plain)


def test_the_unconditional_branch_and_a_window_of_steps(pipeline: Any):
    woman = directrix.discover(pipeline, WOMAN, "embedding")
    ways = ({}, {"branch": "unconditional"}, {"stop": 0.5})
    images = []
    for each in ways:
        with directrix.steer(pipeline, {woman: 1.0}, **each):
            images.append(drawn(pipeline, prompt="a judge"))
    assert len({tuple(each.flatten().tolist()) for each in images}) == 3
    negative = _empty(pipeline) + woman.tensor
    same = drawn(
        pipeline, prompt_embeds=pipeline.encode_prompt("a judge", "cpu", 1, False)[0], negative_prompt_embeds=negative
    )
    torch.testing.assert_close(images[1], same, rtol=1e-3, atol=1e-4)


def test_contrast_leads_from_the_other_value_all_the_way(pipeline: Any):
    form = Orthogonalization(contrast=True)
    woman, man = directrix.discover(pipeline, [WOMAN, MAN], "embedding", orthogonalization=form)
    there, back = (directrix.discover(pipeline, each, "embedding") for each in (WOMAN, MAN))
    torch.testing.assert_close(woman.tensor, there.tensor - back.tensor, rtol=1e-3, atol=1e-5)
    assert woman.cosine(man) == pytest.approx(-1)


def test_a_negative_prompt_is_folded_into_the_conditional_branch(pipeline: Any):
    anti = Concept.of("unarmed", neutral="a person", negative="a weapon")
    settings = directrix.Sampling(guidance_scale=4.0)
    found = directrix.discover(pipeline, anti, "embedding", sampling=settings)
    weapon = pipeline.encode_prompt("a weapon", "cpu", 1, False)[0]
    mean = 0.75 * (_empty(pipeline) - weapon)[0, 1:].mean(dim=0)
    torch.testing.assert_close(found.tensor[1], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", families(FAMILIES))
def test_families_are_steered_at_all_that_they_are_given(name: str):
    pipeline = survey.build(name)
    given = arguments(pipeline, survey.ROWS[name], 1)
    own = ("height", "width", "max_sequence_length", "use_resolution_binning")
    form, call = Orthogonalization(contrast=True), {key: given[key] for key in own if key in given}
    settings: Any = {"orthogonalization": form, "sampling": directrix.Sampling(call=call)}
    woman, _ = directrix.discover(pipeline, [WOMAN, MAN], "embedding", **settings)
    assert [each.site.name for each in woman.parts] == FAMILIES[name]
    images = {}
    for strength in (0.0, 1.0, None):
        given["generator"] = torch.Generator().manual_seed(1)
        if strength is None:
            images[strength] = torch.as_tensor(pipeline(**given)[0])
        else:
            with directrix.steer(pipeline, {woman: strength}):
                images[strength] = torch.as_tensor(pipeline(**given)[0])
    assert torch.equal(images[0.0], images[None]) and not torch.equal(images[1.0], images[None])


def test_tokens_of_two_encoders_get_a_vector_each():
    woman = directrix.discover(survey.build("StableDiffusion3Pipeline"), WOMAN, "embedding")
    states = woman.parts[0].tensor
    # CLIP's first token is left alone, CLIP's others share a vector, T5's share another.
    assert len({tuple(row) for row in states.tolist()}) == 3 and not states[0].any()


def test_another_length_of_text_is_refused(pipeline: Any):
    woman = directrix.discover(pipeline, WOMAN, "embedding")
    short = woman.with_(tensor=woman.tensor[:5])
    with directrix.steer(pipeline, {short: 1.0}), pytest.raises(MismatchError, match="tokens of text"):
        drawn(pipeline, prompt="a judge")


def test_an_input_that_is_not_given_is_refused(pipeline: Any):
    woman = directrix.discover(pipeline, WOMAN, "embedding")
    other = Direction("other", woman.tensor, Site("text_states", 32, "text"), woman.model)
    with directrix.steer(pipeline, {other: 1.0}), pytest.raises(SiteError, match="text_states"):
        drawn(pipeline, prompt="a judge")


def test_a_direction_of_several_sites_is_one_file(tmp_path: Any, pipeline: Any):
    woman = directrix.discover(survey.build("StableDiffusion3Pipeline"), WOMAN, "embedding")
    path = tmp_path / "woman.safetensors"
    woman.save(path)
    again = Direction.load(path)
    assert again.digest() == woman.digest()
    assert [torch.equal(a.tensor, b.tensor) for a, b in zip(again.parts, woman.parts, strict=True)] == [True, True]
    twice = woman + woman
    assert twice.norm() == pytest.approx(2 * woman.norm()) and twice.cosine(woman) == pytest.approx(1)


def test_fair_adds_them_beside_the_prompts(pipeline: Any):
    two = discover_attribute(pipeline, directrix.concept.GENDER, "embedding", subjects=["a judge"])
    fair = Fair({"gender": "uniform"}, two)
    records = directrix.generate(pipeline, ["a judge"], 2, seed=0, interventions=fair, num_inference_steps=2)
    assert sorted(each.row["assigned"]["gender"] for each in records) == ["man", "woman"]
