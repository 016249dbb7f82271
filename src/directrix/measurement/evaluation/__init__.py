"""Evaluation: benchmark x methods x seeds -> pictures -> verdicts -> figures with intervals.

A run is a folder. Pictures are drawn by `generate`, so a stopped run goes on where it was; every picture is judged
once, by the hash of its file; figures are made anew each time from what is there, in seconds. Every method draws the
same seeds, so methods are compared picture by picture.
"""

from directrix.measurement.evaluation.judgements import named_judges
from directrix.measurement.evaluation.run import SUMMARY, evaluate, ready

__all__ = ["SUMMARY", "evaluate", "named_judges", "ready"]
