"""Pure functions of labels: how uneven a set of pictures is, and how sure one can be of a figure."""

from directrix.metrics.deviation import deviation_ratio, mean_deviation_ratio
from directrix.metrics.intervals import Interval, bootstrap, proportion
from directrix.metrics.significance import fisher_test, sign_test

__all__ = [
    "Interval",
    "bootstrap",
    "deviation_ratio",
    "fisher_test",
    "mean_deviation_ratio",
    "proportion",
    "sign_test",
]
