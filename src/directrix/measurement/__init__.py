"""Judges, metrics, benchmarks, calibration, evaluation and reports."""
