"""Running an audit: the library's own `evaluate`, on the folder of the audit, which goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from directrix.errors import DirectrixError
from directrix.studio.artist import Artist
from directrix.studio.audits import Audits, without_paths
from directrix.studio.jobs import Job
from directrix.studio.policy_run import ABSENT, ATTRIBUTES, PolicyForm

UNSTEERED = "none"  # as `directrix.evaluate` calls what the others are compared with
_POLICIES = {
    "fair gender": PolicyForm(fair=("gender",)),
    "fair skin tone": PolicyForm(fair=("skin tone",)),
    "fair gender and skin tone": PolicyForm(fair=ATTRIBUTES),
    "safe": PolicyForm(absent=tuple(ABSENT)),
    "in words": PolicyForm(enhance=True),
}
_DIRECTION = "direction "


def methods(artist: Artist, model: str) -> list[str]:
    """What can be compared on a model: unsteered, policies of the directions that were given, and each direction."""
    policies = [name for name in _POLICIES if _possible(artist, model, name)]
    return [UNSTEERED, *policies, *(f"{_DIRECTION}{name}" for name in artist.names(model))]


def _possible(artist: Artist, model: str, policy: str) -> bool:
    """Whether the directions that a policy needs were given."""
    try:
        _interventions(artist, model, policy)
    except DirectrixError:
        return False
    return True


def run(job: Job, artist: Artist, audits: Audits, name: str) -> str:
    """Draws, judges and measures what is missing of an audit; returns its name.

    Raises what `directrix.evaluate` raises, without paths of the server, and Cancelled.
    """
    from directrix.measurement.calibration.target import judge_for_model
    from directrix.measurement.evaluation import evaluate, named_judges

    plan, folder = audits.plan(name), audits.run(name)
    try:
        benchmark = audits.benchmark(name, judge_for_model(plan.model))
        chosen = {each: _interventions(artist, plan.model, each) for each in plan.methods}
        judges = named_judges(benchmark.judges, benchmark)
        with job.bar(1, "Loading the model"):
            model = artist.load(plan.model)
        evaluate(model, benchmark, chosen, judges, plan.images, plan.seed, folder, progress=job.bar)
    except DirectrixError as error:
        raise without_paths(error, {folder: "the audit's folder", folder.parent: "the audit's folder"}) from error
    return name


def _interventions(artist: Artist, model: str, method: str) -> Any:
    from directrix.interventions.steering import Steering
    from directrix.policies.policy import Policy

    if method == UNSTEERED:
        return ()
    if method in _POLICIES:
        return Policy.of(_POLICIES[method].settings(list(artist.given(model).values())))
    direction = artist.direction(model, method.removeprefix(_DIRECTION))
    return Steering({direction: direction.strengths.default})


def known(artist: Artist, model: str, chosen: Sequence[Any]) -> tuple[str, ...]:
    """Of what a browser sent the methods that there are, in the order in which they are offered."""
    return tuple(each for each in methods(artist, model) if each in (chosen or ()))
