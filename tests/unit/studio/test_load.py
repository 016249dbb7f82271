"""Twenty visitors over HTTP at once: each gets the images of their own recipe, and nothing fails."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from statistics import median

import pytest

from directrix.errors import DirectrixError
from directrix.experiments.cost.studio import Visitor
from directrix.experiments.cost.studio import studio as measure
from directrix.experiments.tables import table
from directrix.generation.generate import generate
from directrix.interventions.steering import Steering
from directrix.studio.artist import Artist
from directrix.studio.markup import data_uri

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.skipif(find_spec("gradio") is None, reason="no gradio")]
USERS = 20


def test_moves_of_a_slider_are_timed_and_a_failure_is_said(tiny_studio):
    visitor = Visitor(tiny_studio.address)
    assert visitor.move("woman", 0.5) > 0
    assert visitor.value(visitor.component("Images")) == 4
    with pytest.raises(DirectrixError, match="drew nothing"):
        visitor.move("woman", 0.5, Prompt=" ")


@pytest.mark.slow
def test_what_visitors_wait_for_is_measured():
    figures = measure(1, 2)
    assert figures["first_screen"] > 0 and len(figures["moves"]) == 1 and len(figures["waits"]) == 2
    # The first one draws the unsteered images too.
    assert figures["first_move"] > figures["move"]
    assert len(table("studio", figures)) == 2 + 5


@pytest.mark.slow
def test_twenty_visitors_at_once_get_their_own_images_and_no_error(tiny_studio, pipeline, record_property):
    def visit(place):
        values = {"Prompt": f"a judge {place}", "Seed": place, "Images": 1, "woman": 0.25 * (1 + place % 4)}
        return Visitor(tiny_studio.address).ask("dx-draw", "click", values)

    with ThreadPoolExecutor(USERS) as crowd:
        answers = list(crowd.map(visit, range(USERS)))
    woman = Artist().given("emoji")["woman"]
    for place, texts in enumerate(answers):
        strength = 0.25 * (1 + place % 4)
        page = next(text for text in reversed(texts) if "dx-pairs" in text and "base64" in text)
        assert f"a judge {place} " in page and f"woman +{strength:g}" in page
        drawn = generate(pipeline, f"a judge {place}", seed=place, interventions=Steering({woman: strength}))
        assert data_uri(drawn[0].image) in page
    seconds = [float(_seconds(each)) for each in answers]
    record_property("median seconds", median(seconds))
    print(f"median wait of {USERS} visitors: {median(seconds):.1f} s")


def _seconds(texts):
    said = next(text for text in reversed(texts) if "Done in" in text)
    return said.split("Done in ")[1].split(" s")[0]
