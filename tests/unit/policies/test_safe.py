from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from directrix.directions.direction import Direction
from directrix.directions.part import Part
from directrix.directions.projection import Projection
from directrix.errors import MismatchError, PolicyError, StrengthError
from directrix.generation.generate import generate
from directrix.interventions.concept_erasure import ConceptErasure, non_negative
from directrix.interventions.nearest_concept import NearestConcept
from directrix.interventions.prompt_conditioned import PromptConditioned, StepState, _Added
from directrix.interventions.protocol import compose
from directrix.interventions.steering import Steering
from directrix.models.identity import Site
from directrix.policies.enhance import Enhance
from directrix.policies.fair import Fair
from directrix.policies.policy import Policy
from directrix.policies.safe import COMBINATIONS, Safe, category_of

QUICK = {"num_inference_steps": 3, "guidance_scale": 5.0}
PROMPTS = ["a judge", "a cook"]


@pytest.fixture(scope="module")
def keepers(make_direction: Callable[..., Direction]) -> list[Direction]:
    """Two anti-concepts."""
    return [
        make_direction(name, seed, scale=6.0).with_(
            recipe={
                "concept": {"name": name, "pairs": [{"target": "a person", "neutral": "a person", "negative": words}]}
            }
        )
        for seed, (name, words) in enumerate((("unarmed", "a weapon"), ("sober", "beer")))
    ]


def pixels(records: Any) -> np.ndarray:
    return np.stack([np.asarray(each.image).astype(int) for each in records])


def test_the_sum_is_plain_steering(pipeline: Any, keepers: list[Direction]):
    safe = generate(pipeline, PROMPTS, 2, interventions=Safe(keepers, "sum"), **QUICK)
    steering = Steering(dict.fromkeys(keepers, 1.0))
    assert np.array_equal(pixels(safe), pixels(generate(pipeline, PROMPTS, 2, interventions=steering, **QUICK)))


def test_the_unconditional_branch_can_be_shown_what_is_kept_out(
    pipeline: Any, keepers: list[Direction], tmp_path: Path
):
    drawn = generate(pipeline, PROMPTS, interventions=Safe(keepers, "sum", opposed=0.5), **QUICK)
    steering = (Steering(dict.fromkeys(keepers, 1.0)), Steering(dict.fromkeys(keepers, -0.5), branch="unconditional"))
    expected = generate(pipeline, PROMPTS, interventions=compose(*steering), **QUICK)
    assert np.abs(pixels(drawn) - pixels(expected)).max() <= 1
    plain = generate(pipeline, PROMPTS, interventions=Safe(keepers, "sum"), **QUICK)
    assert np.abs(pixels(drawn) - pixels(plain)).max() > 1
    # Categories that a prompt asks for are kept out in the same way.
    later = Safe(keepers[:1], "sum", opposed=0.5).with_categories({"sober": {keepers[1]: 1.0}})
    asked = later.over([frozenset({"unarmed", "sober"}), frozenset()])
    found = generate(pipeline, PROMPTS, interventions=asked, **QUICK)
    unsteered = generate(pipeline, PROMPTS, **QUICK)
    assert np.abs(pixels(found)[0] - pixels(expected)[0]).max() <= 1
    assert np.array_equal(pixels(found)[1], pixels(unsteered)[1])
    for each in keepers:
        each.save(tmp_path / f"{each.name}.safetensors")
    said = {"always": ["unarmed", "sober"], "combine": "sum", "opposed": 0.5}
    policy = Policy.of({"directions": [str(tmp_path)], "safe": said})
    assert policy.safe is not None and policy.safe.config == Safe(keepers, "sum", opposed=0.5).config
    # What `enhance` can switch on is as without it.
    for opposed in (0.0, 0.5):
        part = {"categories": {"harm": ["unarmed"]}, "always": ["harm"], "combine": "sum", "opposed": opposed}
        policy = Policy.of({"directions": [str(tmp_path)], "safe": part, "enhance": True})
        assert policy._safe is not None and list(policy._safe.categories) == ["harm", "sober"]
    projection = Projection(torch.eye(32)[:1], torch.eye(32)[:1], (0.0,))
    part = Part(Site("encoder_hidden_states", 32, "text"), torch.ones(32), projection=projection)
    spread = keepers[0].with_(parts=[part])
    with pytest.raises(PolicyError, match="affine"):
        Safe(spread, "sum", opposed=1.0)
    wrong: list[dict[str, Any]] = [{"combine": "nearest"}, {"branch": "unconditional"}, {"opposed": -1.0}]
    for settings in wrong:
        with pytest.raises(PolicyError, match="opposed"):
            Safe(keepers, **cast(Any, {"combine": "sum", "opposed": 1.0, **settings}))


def test_categories_join_directions_and_may_be_off(pipeline: Any, keepers: list[Direction]):
    safe = Safe(keepers, categories={"harm": ["unarmed", "sober"], "drink": "sober"}, on=["drink"])
    assert safe.name == "safe drink"
    drawn = generate(pipeline, PROMPTS, interventions=safe, **QUICK)
    alone = generate(pipeline, PROMPTS, interventions=Steering({keepers[1]: 1.0}), **QUICK)
    assert np.array_equal(pixels(drawn), pixels(alone))
    assert safe.effect(frozenset({"harm"})) == dict.fromkeys(keepers, 1.0)


@pytest.fixture(scope="module")
def objects(make_direction: Callable[..., Direction]) -> list[Direction]:
    """A knife, an axe and a book: directions that draw them."""
    return [
        make_direction(name, seed).with_(
            recipe={
                "concept": {
                    "name": name,
                    "pairs": [{"target": f"a person with a {name}", "neutral": "a person", "negative": None}],
                }
            }
        )
        for seed, name in enumerate(("knife", "axe", "book"), 20)
    ]


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_image_by_image(pipeline: Any, keepers: list[Direction], combine: str):
    on = [frozenset(), frozenset({"sober"}), frozenset({"sober", "unarmed"}), frozenset()]
    part = Safe(keepers, combine).over(on)
    plain = pixels(generate(pipeline, PROMPTS, 2, **QUICK))
    drawn = generate(pipeline, PROMPTS, 2, interventions=part, **QUICK)
    assert [bool((a == b).all()) for a, b in zip(pixels(drawn), plain, strict=True)] == [True, False, False, True]
    if combine != "erase":
        alone = pixels(generate(pipeline, PROMPTS, 2, interventions=Steering({keepers[1]: 1.0}), **QUICK))
        assert np.abs(pixels(drawn)[1] - alone[1]).max() <= 1
    one_by_one = generate(pipeline, PROMPTS, 2, interventions=part, batch_size=1, **QUICK)
    assert np.abs(pixels(drawn) - pixels(one_by_one)).max() <= 1
    assert [each.row for each in drawn] == [each.row for each in one_by_one]


class Calls:
    """A call of the denoiser about these rows, guided or not."""

    def __init__(self, rows: int, guided: bool) -> None:
        layout = (True, "unconditional-conditional") if guided else (False, "conditional")
        step = SimpleNamespace(fraction=0.0, timestep=900.0)
        self.call = SimpleNamespace(layout=layout, rows=rows, step=step)
        self.known: dict[str, Any] = {}

    def now(self) -> Any:
        return self.call

    def recall(self, name: str, otherwise: Callable[[], Any]) -> Any:
        return self.known.setdefault(name, otherwise())

    def remember(self, name: str, value: Any) -> None:
        self.known[name] = value


def bottleneck(pipeline: Any, part: PromptConditioned, h: torch.Tensor, guided: bool = True) -> torch.Tensor:
    """What the hook makes of an output of the mid block."""
    scope: Any = Calls(len(h), guided)
    window: Any = SimpleNamespace(open=lambda call: True)
    site = next(each.site for effect in part._categories.values() for each in effect)
    edit = _Added(part, site, part.candidates(), scope, part._on, part._settings["branch"], window)
    changed = edit(h)
    return h if changed is None else changed


def test_nearest_adds_the_one_that_keeps_out_what_the_image_is_about(pipeline: Any, keepers: list[Direction]):
    first, second = (each.tensor for each in keepers)
    part = NearestConcept({"weapon": {keepers[0]: 1.0}, "drink": {keepers[1]: 0.5}})
    without = torch.randn(3, 32, 4, 4, generator=torch.Generator().manual_seed(9))
    about = torch.stack([-0.1 * first, -0.1 * second, -0.3 * second - 0.1 * first])
    h = torch.cat([without, without + about])
    out = bottleneck(pipeline, part, h)
    assert torch.equal(out[:3], without)
    for row, expected in zip(out[3:] - h[3:], (first, 0.5 * second, 0.5 * second), strict=True):
        assert torch.allclose(row, expected, atol=1e-5)


def test_nearest_chooses_among_what_is_on(pipeline: Any, keepers: list[Direction]):
    first, second = (each.tensor for each in keepers)
    on = [frozenset({"drink"}), frozenset()]
    part = NearestConcept({"weapon": {keepers[0]: 1.0}, "drink": {keepers[1]: 1.0}}, on)
    h = torch.zeros(4, 32, 4, 4)
    h[2:] = -first
    out = bottleneck(pipeline, part, h)
    assert torch.allclose(out[2], second - first, atol=1e-5)
    assert torch.equal(out[3], h[3])
    with pytest.raises(StrengthError, match="for 2 images; 3 are drawn"):
        bottleneck(pipeline, part, torch.zeros(6, 32, 4, 4))
    with pytest.raises(StrengthError, match="for 2 images, not for 5"):
        part.select([0], 5)


def test_nearest_needs_guidance_and_one_site(pipeline: Any, keepers: list[Direction]):
    with pytest.raises(StrengthError, match="Without guidance"):
        generate(pipeline, "a judge", interventions=Safe(keepers, "nearest"), num_inference_steps=1, guidance_scale=1.0)
    elsewhere = keepers[1].with_(name="other", site=Site("up_blocks.0", 32))
    with pytest.raises(MismatchError, match="several sites"):
        Safe([keepers[0], elsewhere], "nearest")


def test_nearest_keeps_its_window_and_its_model(pipeline: Any, other_pipeline: Any, keepers: list[Direction]):
    plain = generate(pipeline, PROMPTS, **QUICK)
    none = generate(pipeline, PROMPTS, interventions=Safe(keepers, "nearest", stop=0.0), **QUICK)
    assert np.array_equal(pixels(plain), pixels(none))
    late = generate(pipeline, PROMPTS, interventions=Safe(keepers, "nearest", start=0.6), **QUICK)
    whole = generate(pipeline, PROMPTS, interventions=Safe(keepers, "nearest"), **QUICK)
    assert not np.array_equal(pixels(late), pixels(whole))
    with pytest.raises(MismatchError, match="belongs to the model"):
        generate(other_pipeline, "a judge", interventions=Safe(keepers, "nearest"), **QUICK)


def test_it_composes_with_a_negative_prompt_and_other_directions(
    pipeline: Any, keepers: list[Direction], make_direction: Callable[..., Direction]
):
    woman = make_direction(seed=7)
    both = compose(Safe([keepers[0]]), Steering({woman: 1.0}))
    summed = Steering({keepers[0]: 1.0, woman: 1.0})
    draw = {"negative_prompt": "a knife", **QUICK}
    a = pixels(generate(pipeline, PROMPTS, interventions=both, **draw))
    b = pixels(generate(pipeline, PROMPTS, interventions=summed, **draw))
    assert np.abs(a - b).max() <= 1


def test_what_would_draw_the_harm_is_refused(keepers: list[Direction]):
    pairs = [{"target": "a knife", "neutral": "a person", "negative": None}]
    knife = keepers[0].with_(name="knife", recipe={"concept": {"name": "knife", "pairs": pairs}})
    with pytest.raises(PolicyError, match="draws its concept"):
        Safe([knife])
    assert Safe([knife], strengths={"knife": -1.0}).on == {"knife"}


def test_wrong_names(keepers: list[Direction]):
    with pytest.raises(PolicyError, match="did you mean 'nearest'"):
        Safe(keepers, "neares")
    with pytest.raises(PolicyError, match="did you mean 'sober'"):
        Safe(keepers, on=["sobr"])


def test_categories_are_found_by_what_they_keep_out(keepers: list[Direction]):
    categories = Safe(keepers).categories
    assert category_of("weapon", categories) == "unarmed"
    assert category_of("beer", categories) == "sober"
    assert category_of("smoking", categories) is None


def test_weights_are_those_of_non_negative_least_squares():
    from scipy.optimize import nnls

    source = torch.Generator().manual_seed(5)
    objects = torch.randn(7, 60, generator=source) * torch.logspace(-1, 1, 7)[:, None]
    objects[1] = 0.8 * objects[0] + 0.3 * objects[1]
    about = torch.randn(5, 60, generator=source) + torch.rand(5, 7, generator=source) @ objects
    allowed = torch.ones(5, 7, dtype=torch.bool)
    allowed[2, ::2] = False
    found = non_negative(about, objects, allowed, iterations=2000)
    for row, image, may in zip(found, about, allowed, strict=True):
        expected = np.zeros(7)
        expected[may.numpy()] = nnls(objects[may].T.numpy().astype(float), image.numpy().astype(float))[0]
        assert np.allclose(row.numpy(), expected, atol=2e-3)


def test_a_prompt_is_explained_alone_as_in_a_batch():
    source = torch.Generator().manual_seed(6)
    objects, about = torch.randn(9, 1024, generator=source), torch.randn(8, 1024, generator=source)
    allowed = torch.rand(8, 9, generator=source) < 0.7
    whole = non_negative(about, objects, allowed)
    for row in range(8):
        one = slice(row, row + 1)
        assert torch.equal(non_negative(about[one], objects, allowed[one])[0], whole[row])


def unrelated(about: torch.Tensor) -> torch.Tensor:
    """A guided batch of images whose prompts are about these."""
    without = torch.randn(about.shape, generator=torch.Generator().manual_seed(9))
    return torch.cat([without, without + about])


def test_what_a_prompt_says_of_a_thing_is_removed_and_what_it_says_of_others_is_left(
    pipeline: Any, objects: list[Direction]
):
    knife, axe, book = (each.tensor for each in objects)
    safe = Safe(objects, "erase", {"weapon": ["knife", "axe"]}, retain=["book"])
    part = ConceptErasure(safe.categories, retain=safe.retain, times=2.0)
    h = unrelated(torch.stack([knife + 0.5 * book, book, 0 * book]))
    out = bottleneck(pipeline, part, h)
    assert torch.equal(out[:3], h[:3])
    # Twice what is there leaves the opposite; the axe, of one kind with the knife, is kept out a little.
    about = out[3:] - h[:3]
    assert torch.allclose(about[0], -knife - 0.25 * axe + 0.5 * book, atol=1e-2)
    assert torch.allclose(about[1], book, atol=1e-2)
    assert torch.equal(out[5], h[5])


def test_without_being_spared_a_likeness_is_taken_for_the_thing(pipeline: Any, objects: list[Direction]):
    knife = objects[0]
    likeness = objects[2].with_(tensor=0.5 * knife.tensor + objects[2].tensor)
    h = unrelated(likeness.tensor[None])
    changes = []
    for retain in ((), ["book"]):
        safe = Safe([knife, likeness], "erase", {"weapon": "knife"}, retain=retain)
        part = ConceptErasure(safe.categories, retain=safe.retain)
        changes.append(float((bottleneck(pipeline, part, h)[1] - h[1]).norm() / knife.norm()))
    assert changes[0] > 0.5
    assert changes[1] < 0.02


def test_strength_is_the_part_that_is_removed_and_size_does_not_matter(pipeline: Any, objects: list[Direction]):
    knife = objects[0]
    h = unrelated(knife.tensor[None])
    half = ConceptErasure({"weapon": {knife: -0.5}}, times=2.0)
    assert torch.allclose(bottleneck(pipeline, half, h)[1], h[0], atol=1e-3)
    small = knife.with_(tensor=0.1 * knife.tensor)
    whole = ConceptErasure({"weapon": {small: -1.0}}, times=1.0)
    assert torch.allclose(bottleneck(pipeline, whole, h)[1], h[0], atol=1e-3)
    # An anti-concept, whose direction is the opposite of its thing, removes it as well.
    anti = knife.with_(tensor=-knife.tensor)
    assert torch.allclose(
        bottleneck(pipeline, ConceptErasure({"weapon": {anti: 1.0}}, times=1.0), h)[1], h[0], atol=1e-3
    )


def test_what_was_invited_early_stays_out_until_the_next_picture(objects: list[Direction]):
    knife, axe = objects[:2]
    part = ConceptErasure({"weapon": {knife: -1.0, axe: -1.0}})
    candidates = -torch.stack([knife.tensor.flatten(), axe.tensor.flatten()])
    on = torch.tensor([[True, True]])
    state = StepState()
    invited, nothing = -candidates[:1], torch.zeros(1, candidates.shape[1])
    state.move(0.0)
    assert (part.weights(invited, candidates, on, state) > 0.2).all()
    state.move(0.5)
    later = part.weights(nothing, candidates, on, state)
    assert torch.allclose(later, torch.full((1, 2), 0.25))
    state.move(0.0)
    assert not part.weights(nothing, candidates, on, state).any()


def test_things_of_removed_categories_need_no_sign(pipeline: Any, objects: list[Direction]):
    safe = Safe(objects, "erase", {"weapon": ["knife", "axe"]}, retain=["book"])
    assert dict(safe.categories["weapon"]) == {objects[0]: -1.0, objects[1]: -1.0}
    assert safe.config["retain"] == ["book"]
    assert category_of("axe", safe.categories) == "weapon"
    assert safe.with_categories({}).retain == safe.retain
    with pytest.raises(StrengthError, match="Without guidance"):
        generate(pipeline, "a judge", interventions=safe, num_inference_steps=1, guidance_scale=1.0)
    with pytest.raises(PolicyError, match="'sum' looks at none"):
        Safe(objects, "sum", {"weapon": {"knife": -1.0}}, retain=["book"])


def test_an_anti_concept_says_nothing_of_what_is_spared(keepers: list[Direction]):
    with pytest.raises(PolicyError, match="keeps its concept out"):
        Safe(keepers, "erase", {"weapon": "unarmed"}, retain=["sober"])


def test_old_names_stand_for_one_release(objects: list[Direction]):
    with pytest.warns(FutureWarning) as warned:
        old = Safe(objects, "removed", {"weapon": ["knife", "axe"]}, spare=["book"])  # pyright: ignore
    said = [str(each.message).partition(";")[0] for each in warned]
    assert said == ["spare= is now retain=", 'combine="removed" is now combine="erase"']
    assert {each.filename for each in warned} == {__file__}
    assert old.config == Safe(objects, "erase", {"weapon": ["knife", "axe"]}, retain=["book"]).config
    with pytest.warns(FutureWarning, match='combine="aligned" is now combine="nearest"'):
        assert Safe(objects[:1], "aligned", strengths={"knife": -1.0}).combine == "nearest"
    with pytest.warns(FutureWarning, match=r"Safe\.spare is now Safe\.retain"):
        assert getattr(old, "spare") is old.retain  # noqa: B009


def test_ways_that_are_gone_or_never_were(keepers: list[Direction]):
    for gone in ("mean", "capped"):
        with pytest.raises(PolicyError, match=f"The way '{gone}' is gone. Expected: 'nearest'"):
            Safe(keepers, gone)
    for wrong in (["sum"], None, {}):
        with pytest.raises(PolicyError, match="There is no way"):
            Safe(keepers, wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", [Safe, Enhance, lambda given, **more: Fair({"gender": "uniform"}, given, **more)])
@pytest.mark.parametrize("wrong", [{"foo": 1}, {"guided": True}])
def test_unknown_arguments_are_refused_by_name(keepers: list[Direction], kind: Any, wrong: dict[str, Any]):
    name = kind.__name__ if isinstance(kind, type) else "Fair"
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument '{next(iter(wrong))}'"):
        kind(keepers, **wrong)
