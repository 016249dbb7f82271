from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from directrix import sites
from directrix.apply.aligned import Aligned
from directrix.apply.safe import COMBINATIONS, Safe, category_of
from directrix.direction import Direction, Site
from directrix.errors import MismatchError, PolicyError, StrengthError
from directrix.generate import generate
from directrix.intervention import compose
from directrix.steer import Steering

QUICK = {"num_inference_steps": 3, "guidance_scale": 5.0}
PROMPTS = ["a judge", "a cook"]


@pytest.fixture(scope="module")
def keepers(make_direction: Callable[..., Direction]) -> list[Direction]:
    """Two anti-concepts."""
    return [
        make_direction(name, seed, scale=6.0).with_(
            recipe={
                "concept": {
                    "name": name,
                    "pairs": [{"target": "a person", "neutral": "a person", "negative": words}],
                }
            }
        )
        for seed, (name, words) in enumerate((("unarmed", "a weapon"), ("sober", "beer")))
    ]


def pixels(records: Any) -> np.ndarray:
    return np.stack([np.asarray(each.image).astype(int) for each in records])


@pytest.mark.parametrize(("combine", "factor"), [("sum", 1.0), ("mean", 0.5)])
def test_constant_combinations_are_plain_steering(
    pipeline: Any, keepers: list[Direction], combine: str, factor: float
):
    safe = generate(pipeline, PROMPTS, 2, interventions=Safe(keepers, combine), **QUICK)
    steering = Steering(dict.fromkeys(keepers, factor))
    assert np.array_equal(
        pixels(safe), pixels(generate(pipeline, PROMPTS, 2, interventions=steering, **QUICK))
    )


def test_capped_is_as_long_as_the_longest(keepers: list[Direction]):
    first, second = keepers
    effect = Safe(keepers, "capped", strengths={"unarmed": 1.5}).effect(frozenset({"unarmed", "sober"}))
    length = float((effect[first] * first.tensor + effect[second] * second.tensor).norm())
    assert length == pytest.approx(max(1.5 * first.norm(), second.norm()), rel=1e-5)
    assert effect[first] / effect[second] == pytest.approx(1.5)
    # Nothing is made longer: opposite directions may well cancel.
    against = Safe({"a": first, "b": first}, "capped", strengths={"b": -0.5}).effect(frozenset("ab"))
    assert sorted(against.values()) == pytest.approx([-0.5, 1.0])


def test_categories_join_directions_and_may_be_off(pipeline: Any, keepers: list[Direction]):
    safe = Safe(keepers, categories={"harm": ["unarmed", "sober"], "drink": "sober"}, on=["drink"])
    assert safe.name == "safe drink"
    drawn = generate(pipeline, PROMPTS, interventions=safe, **QUICK)
    alone = generate(pipeline, PROMPTS, interventions=Steering({keepers[1]: 1.0}), **QUICK)
    assert np.array_equal(pixels(drawn), pixels(alone))
    assert safe.effect(frozenset({"harm"})) == dict.fromkeys(keepers, 1.0)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_image_by_image(pipeline: Any, keepers: list[Direction], combine: str):
    on = [frozenset(), frozenset({"sober"}), frozenset({"sober", "unarmed"}), frozenset()]
    part = Safe(keepers, combine).over(on)
    plain = pixels(generate(pipeline, PROMPTS, 2, **QUICK))
    drawn = generate(pipeline, PROMPTS, 2, interventions=part, **QUICK)
    assert [bool((a == b).all()) for a, b in zip(pixels(drawn), plain, strict=True)] == [
        True,
        False,
        False,
        True,
    ]
    alone = pixels(generate(pipeline, PROMPTS, 2, interventions=Steering({keepers[1]: 1.0}), **QUICK))
    assert np.abs(pixels(drawn)[1] - alone[1]).max() <= 1
    one_by_one = generate(pipeline, PROMPTS, 2, interventions=part, batch_size=1, **QUICK)
    assert np.abs(pixels(drawn) - pixels(one_by_one)).max() <= 1
    assert [each.row for each in drawn] == [each.row for each in one_by_one]


def bottleneck(pipeline: Any, part: Aligned, h: torch.Tensor, guided: bool = True) -> torch.Tensor:
    """What the hook makes of an output of the mid block."""
    module = sites.denoiser(pipeline).mid_block
    forward = module.forward  # pyright: ignore
    pipeline._guidance_scale = 5.0 if guided else 1.0
    pipeline.unet.config  # noqa: B018
    try:
        module.forward = lambda h: h  # pyright: ignore
        with part.applied(pipeline):
            return module(h)  # pyright: ignore
    finally:
        module.forward = forward  # pyright: ignore


def test_aligned_adds_the_one_that_keeps_out_what_the_image_is_about(pipeline: Any, keepers: list[Direction]):
    first, second = (each.tensor for each in keepers)
    part = Aligned({"weapon": {keepers[0]: 1.0}, "drink": {keepers[1]: 0.5}})
    without = torch.randn(3, 32, 4, 4, generator=torch.Generator().manual_seed(9))
    about = torch.stack([-0.1 * first, -0.1 * second, -0.3 * second - 0.1 * first])
    h = torch.cat([without, without + about])
    out = bottleneck(pipeline, part, h)
    assert torch.equal(out[:3], without)
    for row, expected in zip(out[3:] - h[3:], (first, 0.5 * second, 0.5 * second), strict=True):
        assert torch.allclose(row, expected, atol=1e-5)


def test_aligned_chooses_among_what_is_on(pipeline: Any, keepers: list[Direction]):
    first, second = (each.tensor for each in keepers)
    on = [frozenset({"drink"}), frozenset()]
    part = Aligned({"weapon": {keepers[0]: 1.0}, "drink": {keepers[1]: 1.0}}, on)
    h = torch.zeros(4, 32, 4, 4)
    h[2:] = -first
    out = bottleneck(pipeline, part, h)
    assert torch.allclose(out[2], second - first, atol=1e-5)
    assert torch.equal(out[3], h[3])
    with pytest.raises(StrengthError, match="for 2 images; 3 are drawn"):
        bottleneck(pipeline, part, torch.zeros(6, 32, 4, 4))
    with pytest.raises(StrengthError, match="for 2 images, not for 5"):
        part.select([0], 5)


def test_aligned_needs_guidance_and_one_site(pipeline: Any, keepers: list[Direction]):
    with pytest.raises(StrengthError, match="Without guidance"):
        generate(
            pipeline,
            "a judge",
            interventions=Safe(keepers, "aligned"),
            num_inference_steps=1,
            guidance_scale=1.0,
        )
    elsewhere = keepers[1].with_(name="other", site=Site("up_blocks.0", 32))
    with pytest.raises(MismatchError, match="several sites"):
        Safe([keepers[0], elsewhere], "aligned")


def test_aligned_keeps_its_window_and_its_model(pipeline: Any, other_pipeline: Any, keepers: list[Direction]):
    plain = generate(pipeline, PROMPTS, **QUICK)
    none = generate(pipeline, PROMPTS, interventions=Safe(keepers, "aligned", stop=0.0), **QUICK)
    assert np.array_equal(pixels(plain), pixels(none))
    late = generate(pipeline, PROMPTS, interventions=Safe(keepers, "aligned", start=0.6), **QUICK)
    whole = generate(pipeline, PROMPTS, interventions=Safe(keepers, "aligned"), **QUICK)
    assert not np.array_equal(pixels(late), pixels(whole))
    with pytest.raises(MismatchError, match="belongs to the model"):
        generate(other_pipeline, "a judge", interventions=Safe(keepers, "aligned"), **QUICK)


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
    with pytest.raises(PolicyError, match="did you mean 'aligned'"):
        Safe(keepers, "alined")
    with pytest.raises(PolicyError, match="did you mean 'sober'"):
        Safe(keepers, on=["sobr"])


def test_categories_are_found_by_what_they_keep_out(keepers: list[Direction]):
    categories = Safe(keepers).categories
    assert category_of("weapon", categories) == "unarmed"
    assert category_of("beer", categories) == "sober"
    assert category_of("smoking", categories) is None
