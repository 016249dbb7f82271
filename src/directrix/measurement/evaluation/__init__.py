"""Evaluation: benchmark x methods x seeds -> images -> verdicts -> figures with intervals.

A run is a folder. Images are drawn by `generate`, so a stopped run goes on where it was; every image is judged
once, by the hash of its file; figures are made anew each time from what is there, in seconds. Every method draws the
same seeds, so methods are compared image by image.
"""

from directrix.measurement.evaluation.judgements import named_judges
from directrix.measurement.evaluation.run import SUMMARY, evaluate, ready, warnings

__all__ = ["SUMMARY", "evaluate", "named_judges", "ready", "warnings"]
