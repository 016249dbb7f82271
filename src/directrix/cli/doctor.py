"""`directrix doctor`: what is installed here, what is wrong with it, and what to do."""

from __future__ import annotations

from directrix.cli.app import Result, reading, verb


@verb("doctor")
def doctor() -> Result:
    """Say what is installed here, which devices there are, what is missing, and what to do about it."""
    from directrix.models.installation import OPTIONAL, examined

    found = examined()
    return Result(reading("doctor", {**found, "optional": OPTIONAL}), found)
