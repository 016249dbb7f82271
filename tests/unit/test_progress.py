from __future__ import annotations

import pytest

from directrix.progress import Progress, bars, silent


@pytest.mark.parametrize("progress", [silent, bars])
def test_both_count(progress: Progress):
    assert isinstance(progress, Progress)
    with progress(3, "Working") as task:
        task.advance()
        task.advance(2)


def test_bars_go_to_standard_error_only(capsys: pytest.CaptureFixture[str]):
    with bars(2, "Working") as task:
        task.advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Working" in captured.err
    assert "2/2" in captured.err


def test_silent_is_silent(capsys: pytest.CaptureFixture[str]):
    with silent(2, "Working") as task:
        task.advance(2)
    assert capsys.readouterr() == ("", "")
