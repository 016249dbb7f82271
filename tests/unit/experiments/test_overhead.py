"""What an evaluation costs beyond drawing."""

from directrix.experiments.cost import evaluation_overhead as report
from directrix.measurement import benchmarks
from directrix.measurement.judges import Verdict


class Judge:
    name = "stand-in"

    def label(self, images):
        return [{"gender": Verdict("female", 1.0), "tone": Verdict("dark", 1.0)} for _ in images]


def test_both_draw_the_same_number_of_pictures_and_are_compared(pipeline, monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 13.0, 20.0, 22.0, 30.0, 32.2])
    monkeypatch.setattr(report, "_bare", counted := Counted(iter([2.0, 2.0])))
    monkeypatch.setattr(report.time, "perf_counter", lambda: next(clock))
    evaluated = []
    monkeypatch.setattr(report, "evaluate", lambda *a, **k: evaluated.append((a, k)))
    benchmark = benchmarks.load("emoji-occupations").part(limit=4)
    found = report.overhead(pipeline, Judge(), benchmark, images=3, batch_size=2, repeats=2)
    assert found["pictures"] == 12 and len(evaluated) == 2
    assert [call[1:] for call in counted.calls[1:]] == [(benchmark.prompts, 3, 2)] * 2
    assert found["ratio"] == {"value": 1.25, "low": 1.0, "high": 1.5, "n": 2}


def test_it_is_measured_on_a_real_pipeline(pipeline):
    benchmark = benchmarks.load("emoji-occupations").part(limit=2)
    found = report.overhead(pipeline, Judge(), benchmark, images=1, batch_size=2, repeats=1)
    assert found["bare_seconds"] > 0 and found["ratio"]["value"] > 0


class Counted:
    def __init__(self, seconds):
        self.seconds, self.calls = seconds, []

    def __call__(self, *arguments):
        self.calls.append(arguments)
        return 0.0 if len(self.calls) == 1 else next(self.seconds)
