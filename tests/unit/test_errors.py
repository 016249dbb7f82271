from __future__ import annotations

import pytest

from directrix import errors
from directrix.errors import DirectrixError, suggestion

KINDS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DirectrixError)]


def test_text_says_what_happened_what_was_expected_and_what_to_do():
    error = DirectrixError("The file is cut off.", "a whole file.", "download it again.")
    assert str(error) == "The file is cut off. Expected: a whole file. Try: download it again."
    assert (error.happened, error.expected, error.remedy) == (
        "The file is cut off.",
        "a whole file.",
        "download it again.",
    )


def test_parts_may_be_left_out():
    assert str(DirectrixError("Broken.")) == "Broken."
    assert str(DirectrixError("Broken.", remedy="again.")) == "Broken. Try: again."


@pytest.mark.parametrize("kind", KINDS)
def test_exit_codes(kind: type[DirectrixError]):
    # 130 is what shells give a command that Ctrl-C ended.
    others = {errors.NoEffectError: 3, errors.InterruptedRun: 130}
    assert kind("x").exit_code == others.get(kind, 2)


def test_suggestion_names_the_nearest():
    assert suggestion("gendre", ["gender", "skin tone"]) == "did you mean 'gender'? Known: gender, skin tone."
    assert suggestion("xyz", ["gender"]) == "Known: gender."
    assert suggestion("xyz", []) == "Known: none."
