"""Judges that see brightness, in place of those that know a model's images."""

import numpy as np
import pytest

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
