"""Affine directions: a value is set, whatever the prompt says of its attribute."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import directrix
from directrix.concept import GENDER, Concept
from directrix.directions.direction import Direction
from directrix.discovery.affine import oblique, spanned
from directrix.discovery.attribute import discover_attribute
from directrix.discovery.settings import Orthogonalization
from directrix.errors import DirectrixError, StrengthError
from directrix.interventions.project_and_set import ProjectAndSet
from directrix.models import activations
from directrix.models.steerable import SteerableModel
from unit.models.families import survey
from unit.models.families.checks import arguments
from unit.models.families.parts import families

SUBJECTS = ["a judge", "a nurse", "a cook"]


@pytest.fixture
def people(pipeline: Any) -> list[Direction]:
    return discover_attribute(pipeline, GENDER, "affine", subjects=SUBJECTS, keep_norm=True)


def given(pipeline: Any, prompts: list[str], intervention: Any) -> torch.Tensor:
    """The text states that the denoiser gets in the conditional branch: (prompts, tokens, C)."""
    model, seen = SteerableModel.of(pipeline), []
    site = intervention and next(iter(intervention)).parts[0].site
    with directrix.steer(pipeline, intervention), activations.read(model, site, seen.append):
        pipeline(prompts, num_inference_steps=1, guidance_scale=3.0, output_type="latent")
    return seen[0][len(prompts) :]


def plain(pipeline: Any, prompts: list[str]) -> torch.Tensor:
    return torch.cat([pipeline.encode_prompt(each, "cpu", 1, False)[0] for each in prompts])


SAYING = ["a judge", "a female judge", "a male judge"]


def test_every_prompt_ends_at_the_value_whatever_it_said(pipeline: Any):
    woman, man = discover_attribute(pipeline, GENDER, "affine", subjects=SUBJECTS)
    projection = woman.parts[0].projection
    assert projection is not None and man.parts[0].projection is not None
    before, after = plain(pipeline, SAYING), given(pipeline, SAYING, {woman: 1.0})
    said = projection.levels(before).flatten()
    assert said.max() - said.min() > 0.1 * projection.levels(woman.tensor[None]).abs()
    # Set: the same level for all, that of the direction beyond a neutral prompt.
    level = projection.levels(woman.tensor[None]) + torch.tensor(projection.offsets)
    torch.testing.assert_close(projection.levels(after), level.expand(3, 1), rtol=1e-3, atol=1e-3)
    # The other value, and half of it, lies on the same line.
    torch.testing.assert_close(
        projection.levels(given(pipeline, SAYING, {woman: -1.0})), -level.expand(3, 1), atol=1e-3, rtol=1e-3
    )
    half = projection.levels(given(pipeline, SAYING, {woman: 0.5}))
    torch.testing.assert_close(half, (level + said[:, None]) / 2, rtol=1e-3, atol=1e-3)


def test_beyond_1_no_more_is_taken_out(pipeline: Any):
    woman, _ = discover_attribute(pipeline, GENDER, "affine", subjects=SUBJECTS)
    one, two = (given(pipeline, SAYING, {woman: each}) for each in (1.0, 2.0))
    torch.testing.assert_close(two - one, woman.tensor.expand_as(one), rtol=1e-3, atol=1e-4)


def test_norms_are_those_of_the_prompt(pipeline: Any, people: list[Direction]):
    before, after = plain(pipeline, SAYING), given(pipeline, SAYING, {people[0]: 1.0})
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before)
    free, _ = discover_attribute(pipeline, GENDER, "affine", subjects=SUBJECTS)
    assert not torch.allclose(given(pipeline, SAYING, {free: 1.0}).norm(dim=-1), before.norm(dim=-1), rtol=1e-3)


def test_rows_of_strength_0_keep_their_bits_and_no_row_knows_its_batch(pipeline: Any, people: list[Direction]):
    woman = people[0]
    together = given(pipeline, SAYING, {woman: [0.0, 1.0, -0.7]})
    assert torch.equal(together[0], given(pipeline, SAYING, {woman: 0.0})[0])
    for row, strength in ((1, 1.0), (2, -0.7)):
        assert torch.equal(together[row], given(pipeline, SAYING[row : row + 1], {woman: strength})[0])


def test_a_file_and_algebra_have_the_projection(tmp_path: Any, pipeline: Any, people: list[Direction]):
    woman = people[0]
    woman.save(tmp_path / "woman.safetensors")
    again = Direction.load(tmp_path / "woman.safetensors")
    assert again.digest() == woman.digest() != directrix.discover(pipeline, _woman(), "embedding").digest()
    assert torch.equal(given(pipeline, SAYING, {again: 1.0}), given(pipeline, SAYING, {woman: 1.0}))
    # Scaling sets another level; the projection is the attribute's and stays.
    assert (2 * woman).parts[0].projection is woman.parts[0].projection
    tone = discover_attribute(pipeline, directrix.concept.SKIN_TONE, "affine", subjects=SUBJECTS)[0]
    both = (woman + tone).parts[0].projection
    assert both is not None and len(both.offsets) == 1 + 2
    torch.testing.assert_close(
        given(pipeline, SAYING, {woman + tone: 1.0}),
        given(pipeline, SAYING, {woman: 1.0, tone: 1.0}),
        rtol=1e-4,
        atol=1e-4,
    )


def _woman() -> Concept:
    return GENDER.among(SUBJECTS).concepts[0]


def test_what_already_projects_refuses_it(people: list[Direction]):
    attributes = {"gender": {each.name: {each: 1.0} for each in people}}
    with pytest.raises(StrengthError, match="affine"):
        ProjectAndSet(attributes, [{"gender": "woman"}])


def test_the_shrinkage_is_named_and_can_be_chosen(pipeline: Any, people: list[Direction]):
    assert people[0].recipe["shrinkage"] is None and people[0].recipe["keep_norm"] is True
    assert list(people[0].recipe["shrinkage_used"]) == ["encoder_hidden_states"]
    # One pair says nothing of others.
    one = directrix.discover(pipeline, Concept.of("woman", "a woman", "a person"), "affine")
    assert one.recipe["shrinkage_used"] == {"encoder_hidden_states": 1.0}
    form = Orthogonalization(contrast=True)
    chosen = directrix.discover(
        pipeline, GENDER.among(SUBJECTS).concepts, "affine", orthogonalization=form, shrinkage=0.3
    )
    assert chosen[0].recipe["shrinkage_used"] == {"encoder_hidden_states": 0.3}
    with pytest.raises(DirectrixError, match="shrinkage"):
        directrix.discover(pipeline, _woman(), "affine", shrinkage=1.5)


def test_where_a_concept_has_one_subject_the_cards_say_what_is_neutral(pipeline: Any, monkeypatch: pytest.MonkeyPatch):
    concept = Concept.of("woman", "a woman", "a person")
    said = []
    for subjects in ((), tuple(SUBJECTS)):
        monkeypatch.setattr(SteerableModel, "facts", replace(SteerableModel.of(pipeline).facts, subjects=subjects))
        found = directrix.discover(pipeline, concept, "affine")
        projection = found.parts[0].projection
        assert projection is not None
        # In units of the whole effect.
        level = projection.levels(found.tensor[None]) + torch.tensor(projection.offsets)
        said.append(projection.levels(plain(pipeline, ["a person", *SUBJECTS])).flatten() / level.flatten())
    alone, among = said
    assert alone[0].item() == pytest.approx(0.0, abs=1e-3) and alone.mean().abs() > 0.05
    assert among.mean().item() == pytest.approx(0.0, abs=1e-3)
    # A subject that is the concept says nothing of what is neutral.
    monkeypatch.setattr(SteerableModel, "facts", replace(SteerableModel.of(pipeline).facts, subjects=("a woman",)))
    found = directrix.discover(pipeline, concept, "affine")
    projection = found.parts[0].projection
    assert projection is not None
    assert projection.levels(plain(pipeline, ["a person"])).item() == pytest.approx(0.0, abs=1e-3)


def test_a_negative_prompt_is_read_too(pipeline: Any):
    anti = Concept.of("unarmed", neutral="a person", negative=["a gun", "a knife", "a bomb"])
    found = directrix.discover(pipeline, anti, "affine")
    projection = found.parts[0].projection
    assert projection is not None
    armed = given(pipeline, ["a gun"], {found: 1.0}), given(pipeline, ["a person"], {found: 1.0})
    torch.testing.assert_close(*map(projection.levels, armed), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", families(["StableDiffusion3Pipeline", "FluxPipeline", "QwenImagePipeline"]))
def test_families_are_set_at_all_that_they_are_given(name: str):
    pipeline = survey.build(name)
    drawn = arguments(pipeline, survey.ROWS[name], 1)
    own = ("height", "width", "max_sequence_length", "use_resolution_binning")
    call: Any = {"sampling": directrix.Sampling(call={key: drawn[key] for key in own if key in drawn})}
    added, woman = (directrix.discover(pipeline, _woman(), each, **call) for each in ("embedding", "affine"))
    assert [each.site for each in woman.parts] == [each.site for each in added.parts]
    assert all(each.projection is not None for each in woman.parts)
    images = []
    for strengths in ({woman: 0.0}, {added: 1.0}, {woman: 1.0}):
        drawn["generator"] = torch.Generator().manual_seed(1)
        with directrix.steer(pipeline, strengths):
            images.append(torch.as_tensor(pipeline(**drawn)[0]))
    assert not any(torch.equal(*pair) for pair in ((images[0], images[2]), (images[1], images[2])))


def test_with_enough_prompts_less_shrinkage_reads_better():
    """Noise that goes along with the attribute: the optimal covector looks away from it."""
    source = torch.Generator().manual_seed(0)
    value = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    noise = torch.randn(400, 1, generator=source, dtype=torch.float64) * torch.tensor([[1.0, 1.0, 0.0]])
    rows = noise + 0.1 * torch.randn(400, 3, generator=source, dtype=torch.float64)
    basis = spanned(value)
    errors = [float((rows @ oblique(basis, rows, each).T).square().mean()) for each in (0.01, 0.3, 1.0)]
    assert errors[0] < errors[1] < errors[2]
