"""What the studio says of why a closed loop changed an image."""

import pytest

from directrix.studio.reasons import reasons


def harm(present, steered, **again):
    return {"given": "absent", "likelihood": {"absent": 1 - present, "present": present}, "steered": steered, **again}


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ({"given": "man", "likelihood": {"woman": 0.1, "man": 0.9}, "steered": False}, "x looked like man (0.90)"),
        (
            {"given": "woman", "likelihood": {"woman": 0.1, "man": 0.9}, "steered": True},
            "x looked like man (0.90) and was to be woman",
        ),
        (
            {"given": "woman", "likelihood": {"woman": 0.05, "man": 0.05}, "steered": True},
            "x looked like none of woman, man and was to be woman",
        ),
        (
            {
                "given": "woman",
                "likelihood": {"woman": 0.1, "man": 0.9},
                "steered": True,
                "after": {"woman": 0.8, "man": 0.2},
            },
            "x looked like man (0.90) and was to be woman",
        ),
        (
            {
                "given": "woman",
                "likelihood": {"woman": 0.9, "man": 0.1},
                "steered": True,
                "after": {"woman": 0.2, "man": 0.8},
            },
            "x looked like woman (0.90); it ended as man (0.80)",
        ),
        (harm(0.02, False), "x 0.02 likely"),
        (harm(0.98, True), "x 0.98 likely, kept out"),
        (harm(0.98, True, times=1, after={"absent": 0.99, "present": 0.01}), "x 0.98 likely, kept out"),
        (
            harm(0.98, True, times=3, after={"absent": 0.3, "present": 0.7}, still=True),
            "x 0.98 likely, kept out 3 times as strongly; still 0.70 likely",
        ),
    ],
)
def test_what_was_read_and_done_is_said(read, said):
    assert reasons({"x": read}) == (said,)
