"""A password cannot be guessed at will."""

from directrix.studio.password import MOST, WITHIN, Password


def test_after_many_wrong_guesses_not_even_the_right_one_counts_for_a_while():
    now = [0.0]
    asked = Password("ein gutes", lambda: now[0])
    assert asked("anybody", "ein gutes")
    for _ in range(MOST):
        now[0] += 1
        assert not asked("anybody", "guess")
    assert not asked("anybody", "ein gutes")
    now[0] += WITHIN
    assert asked("anybody", "ein gutes")
