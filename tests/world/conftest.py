"""The embedded U-Net and the judge, loaded once."""

from typing import Any

import pytest


@pytest.fixture(scope="session")
def emoji() -> Any:
    from directrix import models

    return models.load("emoji")


@pytest.fixture(scope="session")
def emoji_judge() -> Any:
    from directrix.measurement.judges.emoji import EmojiJudge

    return EmojiJudge.load()
