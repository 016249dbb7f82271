"""A studio with a tiny pipeline, and judges that see brightness, in place of those that know a model's images."""

import asyncio
import gc
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from directrix.directions.header import Strengths
from directrix.measurement.judges import Verdict


class BrightnessJudge:
    """Sees who is drawn in how bright an image is."""

    def __init__(self, name, cut, labels, held_out=False):
        self.name, self.cut, self.labels, self.held_out = name, cut, {"gender": labels}, held_out
        self.config = {"cut": cut}

    def label(self, images):
        values = [np.asarray(each, dtype=float).mean() for each in images]
        return [{"gender": Verdict(self.labels["gender"][int(each > self.cut)], 1.0)} for each in values]


@pytest.fixture(scope="session")
def brightness_judges():
    """Makes two that disagree, the second one held out: brightness_judges("man", "woman")."""

    def make(*labels):
        cuts = {"first judge": 127.0, "second judge": 128.5}
        return [BrightnessJudge(name, cut, labels, name == "second judge") for name, cut in cuts.items()]

    return make


def _calibrated(direction):
    """The direction with a measured range, from -2/3 to 1, and all of its effect at 1/3 already."""
    effects = {-2 / 3: 0.0, 1 / 3: 1.0, 1.0: 1.0}
    rows = [{"strength": at, "effect": {"value": effect, "low": 0.0, "high": 1.0}} for at, effect in effects.items()]
    return direction.with_(strengths=Strengths(1.0, -2 / 3, 1.0), provenance={"calibration": {"strengths": rows}})


@pytest.fixture(scope="module")
def tiny_studio(pipeline, make_direction, tmp_path_factory, brightness_judges):
    """The studio with the tiny pipeline and two directions."""
    from directrix.measurement import evaluation
    from directrix.models.steerable import SteerableModel
    from directrix.studio import policy_run
    from directrix.studio import serve as serving
    from directrix.studio.artist import Artist

    given = {name: make_direction(name, seed) for seed, name in enumerate(("woman", "man"))}
    given["woman"] = _calibrated(given["woman"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Artist, "load", lambda *_: SteerableModel.of(pipeline))
        patch.setattr(evaluation, "named_judges", lambda *_: brightness_judges("male", "female"))
        patch.setattr(policy_run, "_judge", lambda: brightness_judges("male", "female")[0])
        patch.setattr(policy_run, "JUDGED", ("gender",))
        patch.setattr(Artist, "given", lambda *_: given)
        with _event_loops() as made:
            found = serving.serve(port=0, folder=tmp_path_factory.mktemp("studio"))
        yield found
        found.stop()
    # Gradio leaves event loops open that it made in this thread, and its client sockets: the test that these are
    # collected in would fail.
    asyncio.set_event_loop(None)
    for each in made:
        if not each.is_running():
            each.close()
    del found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@contextmanager
def _event_loops():
    """The event loops that are made within."""
    made, new = [], asyncio.new_event_loop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", lambda: made.append(new()) or made[-1])
        yield made
