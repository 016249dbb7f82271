"""What every case must keep to: a result or one sentence, within ten seconds and a gigabyte."""

from __future__ import annotations

import contextlib
import io
import re
import resource
import signal
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings

from directrix.cli import main
from directrix.errors import DirectrixError

SECONDS, KIBIBYTES = 10, 1 << 20
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")


def longer() -> bool:
    """Whether this is the profile `fuzz`."""
    return settings.default is settings.get_profile("fuzz")


def cases(number: int) -> Any:
    """So many cases, always the same; under the profile `fuzz` 34 times as many, other ones each time."""
    scale = settings.default.max_examples / 100  # pyright: ignore[reportOptionalMemberAccess]
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(
        max_examples=int(number * scale), derandomize=scale == 1, deadline=None, suppress_health_check=quiet
    )


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Fails where what runs within takes too long, in seconds of a processor, or too much memory."""

    def stop(*_: Any) -> None:
        raise AssertionError(f"it takes longer than {SECONDS} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KIBIBYTES


def ends_well(call: Callable[[], Any]) -> Any:
    """The result of a call, or None where it raises an error that is one sentence or so; anything else fails."""
    with limited():
        try:
            return call()
        except DirectrixError as error:
            assert str(error).strip() and error.happened.strip().endswith((".", "?", "!")), str(error)
            return None


def command_ends_well(*words: str) -> tuple[int, str]:
    """The exit code of a command and what it said; fails unless it is a result or one line of error."""
    out, err = io.StringIO(), io.StringIO()
    with limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    said = out.getvalue() + err.getvalue()
    assert code in (0, 2, 3), said
    assert "Traceback" not in said and not UNSEEN.search(said), said
    errors = [line for line in err.getvalue().splitlines() if line.startswith(("directrix ", "directrix: "))]
    assert len(errors) == (code != 0), said
    return code, said
