"""Twenty visitors over HTTP at once: each gets the images of their own recipe, and nothing fails."""

import json
import threading
import uuid
from importlib.util import find_spec
from statistics import median

import pytest

from directrix.generation.generate import generate
from directrix.interventions.steering import Steering
from directrix.studio.artist import Artist
from directrix.studio.markup import data_uri

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason="no gradio"),
]
httpx = pytest.importorskip("httpx")
USERS = 20
PATIENCE = 300


class Visitor(threading.Thread):
    """Asks for a drawing as the page in a browser does, and reads the answers to their end."""

    def __init__(self, address, function, values):
        super().__init__()
        self.address, self.function, self.values = address.rstrip("/"), function, values
        self.answers, self.failures = [], []

    def run(self):
        session = uuid.uuid4().hex
        body = {"fn_index": self.function, "session_hash": session, "data": self.values, "event_data": None}
        with httpx.Client(base_url=f"{self.address}/gradio_api", timeout=PATIENCE, trust_env=False) as client:
            joined = client.post("/queue/join", json=body)
            if joined.status_code != 200:
                self.failures.append(joined.text)
                return
            with client.stream("GET", "/queue/data", params={"session_hash": session}) as lines:
                for line in lines.iter_lines():
                    if line.startswith("data:"):
                        self._read(json.loads(line[5:]))

    def _read(self, message):
        if message["msg"] in ("process_generating", "process_completed"):
            self.failures += [] if message["success"] else [message]
            self.answers.append(message["output"].get("data"))
        if message["msg"] == "unexpected_error":
            self.failures.append(message)


def test_twenty_visitors_at_once_get_their_own_images_and_no_error(tiny_studio, pipeline, record_property):
    draw = next(
        number
        for number, each in tiny_studio.blocks.fns.items()
        if any(name == "click" and target == _button(tiny_studio.blocks) for target, name in each.targets)
    )
    slots = len(tiny_studio.blocks.fns[draw].inputs) - 6
    visitors = [
        Visitor(tiny_studio.address, draw, ["emoji", f"a judge {place}", place, 1, "Side by side", None])
        for place in range(USERS)
    ]
    for place, each in enumerate(visitors):
        each.values += [0.25 * (1 + place % 4), *[0.0] * (slots - 1)]
        each.start()
    for each in visitors:
        each.join(PATIENCE)
    assert not [failure for each in visitors for failure in each.failures]
    woman = Artist().given("emoji")["woman"]
    for place, each in enumerate(visitors):
        strength = 0.25 * (1 + place % 4)
        page = _last_images(each.answers)
        assert f"a judge {place} " in page and f"woman +{strength:g}" in page
        drawn = generate(pipeline, f"a judge {place}", seed=place, interventions=Steering({woman: strength}))
        assert data_uri(drawn[0].image) in page
    seconds = [float(_seconds(each.answers)) for each in visitors]
    record_property("median seconds", median(seconds))
    print(f"median wait of {USERS} visitors: {median(seconds):.1f} s")


def _button(blocks):
    return next(number for number, each in blocks.blocks.items() if getattr(each, "elem_id", "") == "dx-draw")


def _texts(answers):
    return [text for answer in answers for text in _strings(answer)]


def _strings(value):
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in parts for text in _strings(each)]


def _last_images(answers):
    return next(text for text in reversed(_texts(answers)) if "dx-pairs" in text and "base64" in text)


def _seconds(answers):
    said = next(text for text in reversed(_texts(answers)) if "Done in" in text)
    return said.split("Done in ")[1].split(" s")[0]
