"""The settings of a discovery, and the arguments that stood for them before."""

import inspect
import warnings

import pytest
import torch

import directrix
from directrix.discovery import Optimizer, Orthogonalization, Sampling
from directrix.discovery.settings import grouped
from directrix.errors import DirectrixError

WOMAN = directrix.Concept.of("woman", "a woman", "a person")
MAN = directrix.Concept.of("man", "a man", "a person")


def test_settings_by_their_flat_names_are_grouped():
    flat = {"images": 4, "batch_size": 2, "collection_batch_size": 3, "contrast": True, "seed": 1, "average": True}
    assert grouped(flat) == {
        "sampling": Sampling(images=4, batch_size=3),
        "optimizer": Optimizer(batch_size=2),
        "orthogonalization": Orthogonalization(contrast=True),
        "seed": 1,
        "average": True,
    }
    assert grouped({"sampling": Sampling(2, call={"height": 8}), "images": 4}) == {
        "sampling": Sampling(4, call={"height": 8})
    }


def test_old_arguments_find_the_same_and_name_their_place(pipeline):
    sampling = Sampling(2, guidance_scale=3.0, num_inference_steps=2)
    form = Orthogonalization(contrast=True, shape="channel")
    new = directrix.discover(pipeline, [WOMAN, MAN], sampling=sampling, orthogonalization=form, search=False)
    old_form = {"images": 2, "guidance_scale": 3.0, "num_inference_steps": 2, "contrast": True, "shape": "channel"}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        old = directrix.discover(pipeline, [WOMAN, MAN], **old_form, search=False)
    said = [str(each.message) for each in seen if each.category is FutureWarning]
    assert len(said) == len(old_form) and all(each.filename == __file__ for each in seen)
    assert said[0].startswith("images= is now sampling=Sampling(images=...)")
    assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(old, new, strict=True))


def test_old_arguments_of_the_other_functions(pipeline):
    site = directrix.models.sites.find(pipeline).name
    with pytest.warns(FutureWarning, match="num_inference_steps= is now sampling=Sampling"):
        assert directrix.search_sites(pipeline, WOMAN, [site], num_inference_steps=1)[0].site.name == site
    with pytest.warns(FutureWarning, match="images="):
        (knife,) = directrix.discover_objects(pipeline, ["a knife"], subjects=[], images=1)
    assert knife.recipe["images"] == 1


@pytest.mark.parametrize("name", ["discover", "discover_attribute", "discover_objects", "search_sites"])
def test_ten_arguments_are_enough(name):
    parameters = inspect.signature(getattr(directrix, name)).parameters.values()
    assert sum(each.kind is not each.VAR_KEYWORD for each in parameters) <= 10


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (Sampling, {"images": 0}),
        (Sampling, {"num_inference_steps": True}),
        (Sampling, {"batch_size": 1.5}),
        (Optimizer, {"steps": -1}),
        (Optimizer, {"learning_rate": float("inf")}),
        (Optimizer, {"checkpoint_every": 0}),
        (Orthogonalization, {"shape": "square"}),
        (Orthogonalization, {"preserve": ""}),
        (Orthogonalization, {"rank": 1, "preserve": WOMAN}),
    ],
)
def test_unusable_settings_are_refused_at_once(settings, wrong):
    with pytest.raises(DirectrixError):
        settings(**wrong)
