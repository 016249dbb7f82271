from __future__ import annotations

import pytest
import torch

from directrix.directions.direction import Direction, Strengths
from directrix.errors import DirectrixError, MismatchError, StrengthError
from directrix.models.identity import ModelIdentity, Site

SITE = Site("mid_block", 4)
MODEL = ModelIdentity("tiny", "", "f" * 64)


def make(name: str = "a", shape: tuple[int, ...] = (4, 2, 3), seed: int = 0, **fields) -> Direction:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return Direction(name, tensor, **({"site": SITE, "model": MODEL} | fields))


def test_tensor_is_a_float32_copy():
    source = torch.ones(4, dtype=torch.float16, requires_grad=True)
    direction = Direction("a", source, SITE, MODEL)
    with torch.no_grad():
        source += 1
    assert direction.tensor.dtype == torch.float32
    assert not direction.tensor.requires_grad
    assert direction.tensor.tolist() == [1.0] * 4


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (3, 2, 2), (4, 2, 2, 1), (4, 0, 2)])
def test_shapes_that_do_not_fit_the_site(shape: tuple[int, ...]):
    with pytest.raises(MismatchError, match="shape"):
        Direction("a", torch.zeros(shape), SITE, MODEL)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float):
    with pytest.raises(DirectrixError, match="not finite"):
        Direction("a", torch.tensor([0.0, 0.0, 0.0, value]), SITE, MODEL)


def test_channels_last_sites_take_vectors_only():
    site = Site("transformer_blocks.3", 4, "channels-last")
    assert make(shape=(4,), site=site).tensor.shape == (4,)
    with pytest.raises(MismatchError):
        make(site=site)


def test_directions_are_keys_by_identity():
    a, b = make(), make()
    assert len({a: 1.0, b: 2.0}) == 2


def test_algebra():
    a, b = make("a"), make("b", seed=1)
    assert torch.equal((a + b).tensor, a.tensor + b.tensor)
    assert torch.equal((a - b).tensor, a.tensor - b.tensor)
    assert torch.equal((-a).tensor, -a.tensor)
    assert torch.equal((2 * a).tensor, (a * 2).tensor)
    assert torch.equal((a / 4).tensor, a.tensor / 4)
    assert (a - (a + b)).name == "a - (a + b)"


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_a_size_that_is_none_is_refused(size: tuple[int, int]):
    for direction in (make(), make().pooled()):
        with pytest.raises(MismatchError, match="cannot be resized"):
            direction.resized(*size)


def test_negation_mirrors_the_strengths():
    assert (-make(strengths=Strengths(1.0, -0.5, 2.0))).strengths == Strengths(1.0, -2.0, 0.5)


def test_sums_lose_the_calibration():
    a = make(strengths=Strengths(0.8, 0.0, 1.2))
    assert (a + a).strengths == Strengths()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": ModelIdentity("other", "", "0" * 64)}, "other"),
        ({"shape": (4,)}, r"\(4,\)"),
        ({"shape": (4, 3, 2)}, r"\(4, 3, 2\)"),
    ],
)
def test_algebra_across_models_and_shapes_raises(change: dict, words: str):
    a, b = make("a"), make("b", **change)
    for operation in (lambda: a + b, lambda: a - b, lambda: a.cosine(b)):
        with pytest.raises(MismatchError, match=words):
            operation()


def test_directions_of_different_sites_are_not_compared():
    with pytest.raises(MismatchError, match=r"up_blocks\.0"):
        make("a").cosine(make("b", site=Site("up_blocks.0", 4)))


def test_a_renamed_model_is_the_same_model():
    assert (make() + make(model=ModelIdentity("copy", "main", MODEL.fingerprint))).norm() > 0


def test_impossible_factors():
    with pytest.raises(StrengthError):
        make() * float("nan")
    with pytest.raises(StrengthError):
        make() / 0
    with pytest.raises(TypeError):
        make() * "2"  # pyright: ignore
    with pytest.raises(TypeError):
        make() + 1  # pyright: ignore


def test_norm_and_cosine():
    a = Direction("a", torch.tensor([3.0, 4.0, 0.0, 0.0]), SITE, MODEL)
    b = Direction("b", torch.tensor([0.0, 0.0, 1.0, 0.0]), SITE, MODEL)
    assert a.norm() == 5.0
    assert a.cosine(2 * a) == pytest.approx(1.0)
    assert a.cosine(-a) == pytest.approx(-1.0)
    assert a.cosine(b) == 0.0
    assert a.cosine(0 * a) == 0.0


def test_pooling_and_resizing_are_explicit():
    a = make()
    assert torch.allclose(a.pooled().tensor, a.tensor.mean((1, 2)))
    assert a.resized(5, 7).tensor.shape == (4, 5, 7)
    assert torch.allclose(a.resized(2, 3).tensor, a.tensor)
    assert torch.allclose(a.pooled().resized(2, 2).tensor[:, 1, 0], a.pooled().tensor)


def test_digest_stands_for_values_and_place():
    a = make()
    assert a.digest() == make("another name").digest()
    assert a.digest() != make(seed=1).digest()
    assert a.digest() != make(site=Site("up_blocks.0", 4)).digest()


def test_with_changes_fields_only():
    a = make()
    b = a.with_(name="b", strengths=Strengths(2.0, 0.0, 3.0))
    assert (b.name, b.strengths.default) == ("b", 2.0)
    assert torch.equal(a.tensor, b.tensor)


def test_strengths_must_be_in_order():
    with pytest.raises(StrengthError):
        Strengths(1.0, 2.0, -2.0)
    with pytest.raises(StrengthError):
        Strengths(float("nan"))


def test_directions_show_themselves():
    figure = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 6}
    rows = [{"strength": strength, "effect": figure, "kept": None, "distance": 0.0} for strength in (0.0, 1.0)]
    a = make("<b> & co", strengths=Strengths(0.8, -1.0, 2.0))
    card = {"format": 1, "digest": a.digest(), "aim": {"attribute": "tone", "label": "<i>"}, "strengths": rows}
    card |= {"name": a.name, "model": vars(MODEL), "site": SITE.name, "shape": [4, 2, 3], "judge": "emoji", "seed": 0}
    card |= {"sensible": vars(a.strengths), "prompts": ["a cook"], "images_per_prompt": 6, "num_inference_steps": 4}
    card |= {"monotone": True, "leakage": {}, "cost": {}, "recipe": {}}
    assert repr(a) == f"Direction('<b> & co', shape=(4, 2, 3), site='mid_block', model='tiny', norm={a.norm():.4g})"
    unmeasured, measured = (each._repr_html_() for each in (a, a.with_(provenance={"card": card})))
    for html in (unmeasured, measured):
        assert "&lt;b&gt; &amp; co" in html and "<b> &" not in html
        assert "mid_block, 4 x 2 x 3" in html and "-1 to 2, default 0.8" in html
    assert "not measured" in unmeasured
    assert "tone is &lt;i&gt;" in measured and "<td>50 %</td>" in measured
