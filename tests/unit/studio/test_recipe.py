"""A recipe says all that decides its images, and its lines draw them again."""

import io
import json

import pytest
from PIL import Image

from directrix.errors import ConceptError, DirectrixError
from directrix.interventions.steering import Steering
from directrix.studio import markup
from directrix.studio.artist import Artist, Pairs, Strip
from directrix.studio.jobs import Job
from directrix.studio.recipe import Recipe


def test_strengths_of_nothing_are_left_out_and_lines_name_the_rest():
    recipe = Recipe("emoji", " a firefighter's dog ", 7, 2, {"woman": 1.0, "man": 0.0, "no weapon": -0.5})
    assert recipe.command().splitlines() == [
        "directrix world starters --model emoji -o starters",
        "directrix generate --model emoji --prompt 'a firefighter'\"'\"'s dog' -n 2 --seed 7 --direction "
        "starters/woman.safetensors:1 --direction starters/no-weapon.safetensors:-0.5 -o out",
    ]
    compile(recipe.python(), "recipe", "exec")
    assert "man.safetensors" not in recipe.plain().command()


@pytest.mark.parametrize(
    "given, error",
    [
        ({"prompt": "  "}, ConceptError),
        ({"prompt": "a" * 501}, ConceptError),
        ({"seed": -1}, DirectrixError),
        ({"seed": 2**31}, DirectrixError),
        ({"images": 9}, DirectrixError),
        ({"images": None}, DirectrixError),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_job_begins(given, error):
    with pytest.raises(error):
        Recipe(**{"model": "emoji", "prompt": "a judge", **given})


@pytest.fixture
def direction(make_direction):
    return make_direction()


@pytest.fixture
def artist(pipeline, direction, monkeypatch):
    """An artist of the tiny pipeline, with one direction."""
    from directrix.models.steerable import SteerableModel

    found = Artist(("tiny",))
    monkeypatch.setattr(found, "load", lambda _: SteerableModel.of(pipeline))
    monkeypatch.setattr(found, "given", lambda _: {direction.name: direction})
    return found


def test_pairs_have_the_bits_of_the_library_and_remember_the_unsteered_images(artist, pipeline, direction):
    from directrix.generation.generate import generate

    recipe = Recipe("tiny", "a judge", 3, 2, {direction.name: 1.0})
    found = artist.pairs(Job(lambda _: None), recipe)
    plain = [each.image for each in generate(pipeline, "a judge", 2, seed=3)]
    steered = generate(pipeline, "a judge", 2, seed=3, interventions=Steering({direction: 1.0}))
    assert [each.tobytes() for each in found.plain] == [each.tobytes() for each in plain]
    assert [each.tobytes() for each in found.steered] == [each.image.tobytes() for each in steered]
    again = artist.pairs(Job(lambda _: None), Recipe("tiny", "a judge", 3, 2, {direction.name: 0.5}))
    assert again.plain is found.plain


def test_a_strip_begins_unsteered_and_ends_at_the_greatest_sensible_strength(artist, pipeline, direction):
    found = artist.strip(Job(lambda _: None), Recipe("tiny", "a judge", 3, 2), direction.name)
    assert (found.strengths[0], found.strengths[-1]) == (0.0, direction.strengths.maximum)
    assert len({each.tobytes() for each in found.images}) == len(found.images)


def _images(*colours):
    return tuple(Image.new("RGB", (8, 8), each) for each in colours)


def test_the_png_has_the_recipe_in_its_metadata():
    recipe = Recipe("emoji", "a nürse", 1, 1, {"woman": 1.0})
    made = Image.open(io.BytesIO(markup.png(Pairs(recipe, _images("red"), _images("blue")))))
    stored = json.loads(made.text["directrix"])
    assert (stored["prompt"], stored["strengths"]) == ("a nürse", {"woman": 1.0})


def test_texts_are_escaped_and_every_image_has_one():
    recipe = Recipe("emoji", "<script>alert(1)</script>", 1, 1, {"woman": 1.0})
    for view in markup.VIEWS:
        page = markup.pairs(Pairs(recipe, _images("red"), _images("blue")), view)
        assert "<script" not in page
        assert page.count("<img") == page.count('alt="') == 2
    assert "<script" not in markup.strip(Strip(recipe, "woman", (0.0,), _images("red")))


def test_the_heat_map_is_dark_where_nothing_changed():
    plain = Image.new("RGB", (4, 4), "black")
    steered = plain.copy()
    steered.putpixel((1, 2), (255, 255, 255))
    heat = markup.heat(plain, steered)
    assert heat.getpixel((0, 0)) == (0, 0, 0)
    assert heat.getpixel((1, 2)) == (255, 255, 0)


def test_a_trace_follows_the_very_image_that_is_drawn(artist, direction):
    from directrix.studio.trace import trace

    found = trace(Job(lambda _: None), artist, Recipe("tiny", "a judge", 3, 2, {direction.name: 1.0}))
    assert found.steps[-1] == found.of and found.apart.max() == 1.0
    assert found.apart[0].mean() < found.apart[-1].mean()
    page = markup.trace(found)
    assert page.count("<img") == page.count('alt="') == len(found.steps)
    with pytest.raises(DirectrixError, match="No direction is on"):
        trace(Job(lambda _: None), artist, Recipe("tiny", "a judge", 3, 1))
