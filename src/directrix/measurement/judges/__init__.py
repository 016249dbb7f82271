"""Judges look at images and say what they show, or that they cannot tell."""

from directrix.measurement.judges.base import Judge as Judge
from directrix.measurement.judges.base import Verdict as Verdict
from directrix.measurement.judges.registry import FORMS as FORMS
from directrix.measurement.judges.registry import load as load
