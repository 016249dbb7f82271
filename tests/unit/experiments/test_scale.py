"""What many images cost beside drawing them."""

from __future__ import annotations

from typing import Any

import pytest

from directrix.errors import DirectrixError
from directrix.experiments.cost.scale import scale
from directrix.experiments.tables import table


def test_each_number_of_rows_is_measured_and_the_pipeline_left_as_it_was(pipeline: Any):
    before = type(pipeline)
    figures = scale(pipeline, [10, 20])
    assert type(pipeline) is before
    assert list(figures["rows"]) == ["10", "20"]
    for each in figures["rows"].values():
        assert all(each[stage]["seconds"] > 0 for stage in ("plan", "evaluate", "again", "report"))
        assert each["page_bytes"] > 1000 and each["pages"] >= 1
    assert len(table("scale", figures)) == 2 + 2 * 4


def test_a_number_of_rows_that_no_prompts_make_is_refused(pipeline: Any):
    with pytest.raises(DirectrixError, match="15 rows were asked for"):
        scale(pipeline, [15])
