"""Every class of pipelines that can be built is steered right, or refused with a sentence, as docs/families.md says."""

from __future__ import annotations

import pytest

from unit.models.families import survey
from unit.models.families.parts import is_newest

pytestmark = pytest.mark.skipif(not is_newest(), reason="the survey is of the newest supported diffusers")


# The rest is left to `make test-all`.
QUICK = (
    *("StableDiffusion", "StableDiffusionControlNet", "StableDiffusionPAG", "StableDiffusionXL", "StableDiffusion3"),
    *(
        "Flux",
        "Flux2Klein",
        "Lumina2",
        "HunyuanDiT",
        "CogView4",
        "AuraFlow",
        "QwenImage",
        "OvisImage",
        "Wan",
        "CogVideoX",
    ),
    *("AnimateDiff", "KandinskyV22Combined", "ErnieImage"),
)


def marked(name: str) -> object:
    marks = [] if name.removesuffix("Pipeline") in QUICK else [pytest.mark.slow]
    if name in survey.WRONG:
        marks.append(pytest.mark.xfail(reason=survey.WRONG[name], strict=True))
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [marked(name) for name in survey.ROWS])
def test_a_class_is_steered_as_documented(name: str):
    what, why = survey.surveyed(name)
    assert what != "wrong", why
    assert survey.written()[0].get(name) == survey.line(name, what, why), "run the survey with --write"


def test_all_classes_are_documented():
    classes, others = survey.written()
    assert [*classes] == [*survey.ROWS]
    assert others == survey.others(), "run the survey with --write"
