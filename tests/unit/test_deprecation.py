"""Names of before stand for one release, and say what they are called now."""

from __future__ import annotations

import copy
import pickle

import pytest

import directrix
from directrix import deprecation
from directrix.errors import DirectrixError
from directrix.interventions.protocol import Plan, compose
from directrix.policies.wording import understand


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Gauge", "Probe"),
        ("fit_gauge", "fit_probe"),
        ("level", "compensate_leakage"),
        ("discover_things", "discover_objects"),
    ],
)
def test_old_public_names_warn_and_stand_for_the_new_ones(old: str, new: str):
    with pytest.warns(FutureWarning, match=f"directrix.{old} is now directrix.{new}"):
        assert getattr(directrix, old) is getattr(directrix, new)
    assert old not in directrix.__all__


def test_old_arguments_warn_and_are_passed_on():
    @deprecation.renamed(aim="target_label")
    def calibrate(target_label: str | None = None) -> str | None:
        return target_label

    with pytest.warns(FutureWarning, match="aim= is now target_label="):
        assert calibrate(aim="gender") == "gender"  # pyright: ignore[reportCallIssue]
    assert calibrate(target_label="gender") == calibrate("gender") == "gender"
    with pytest.raises(DirectrixError, match="Both aim and target_label"):
        calibrate("tone", aim="gender", target_label="tone")  # pyright: ignore[reportCallIssue]


def test_old_attributes_warn_and_give_the_new_ones():
    plan = Plan(compose(), rewritten=("a cook",))
    read = understand("a cook of any gender")
    for each, name in ((plan, "Plan"), (read, "Understanding")):
        with pytest.warns(FutureWarning, match=f"{name}.told is now {name}.rewritten"):
            assert getattr(each, "told") == each.rewritten  # noqa: B009
        with pytest.raises(AttributeError, match=f"'{name}' object has no attribute 'tolled'"):
            getattr(each, "tolled")  # noqa: B009
        assert pickle.loads(pickle.dumps(copy.deepcopy(read))) == read
    with pytest.warns(FutureWarning, match="told= is now rewritten="):
        assert Plan(plan.intervention, told=("a cook",)) == plan  # pyright: ignore[reportCallIssue]


def test_old_keys_of_files_are_read_by_their_new_names():
    assert deprecation.upgraded({"told": 1, "seed": 2}, {"told": "rewritten"}) == {"rewritten": 1, "seed": 2}
    both = {"told": 1, "rewritten": 3}
    assert deprecation.upgraded(both, {"told": "rewritten"}) == {"rewritten": 3}
