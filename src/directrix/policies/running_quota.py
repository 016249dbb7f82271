"""A running quota: fair images one after another, where nobody knows how many there will be.

    quota = RunningQuota(Fair({"gender": "uniform"}, directions, closed_loop="gender.probe"))
    with quota.steering("a judge").applied(pipeline):
        pipeline("a judge")

The policy keeps a count for each prompt. Its images come in rounds, each with the quota of the fair policy. Within a
round an image is left as it is as long as the quota has room for what it shows, and steered to what is missing after
that. What a round still lacks when its places do not suffice for a call goes into the next one.
"""

from __future__ import annotations

from directrix import checks
from directrix.errors import PolicyError
from directrix.interventions.closed_loop import ClosedLoop
from directrix.interventions.protocol import Intervention, compose
from directrix.interventions.tally import Tally
from directrix.policies.fair import Fair
from directrix.policies.quotas import Quotas


class RunningQuota:
    """Counts a fair policy's images, prompt by prompt; for one thread at a time.

    Args:
        fair: with a closed loop.
        images: of a round, 1 or more. More let more images be as they are; fewer even out sooner.
        seed: decides how images that are left over in a round go round the categories.

    Raises:
        PolicyError: a policy without a closed loop.
        DirectrixError: no whole number of images.
    """

    def __init__(self, fair: Fair, images: int = 12, seed: int = 0) -> None:
        if not all(each.closed_loop for each in fair.balances):
            raise PolicyError(
                "The policy reads no images, so it cannot count them.",
                "a fair policy with a closed loop.",
                'Fair(..., closed_loop=["gender.probe"]), or closed_loop=judge.',
            )
        self._fair = fair
        self._images = checks.whole_number("images", images)
        self._seed = seed
        # By prompt: the present round, how many of its places are taken, and the quotas of the rounds to come.
        self._rounds: dict[str, tuple[Tally, int, Quotas, int]] = {}

    def steering(self, prompt: str, images: int = 1) -> Intervention:
        """What acts on the next images of a prompt, in one call of the pipeline; its `found` says what became of them.

        Raises:
            DirectrixError: no whole number of images.
        """
        checks.whole_number("images", images)
        balances = self._fair.request(prompt).balances
        if not balances:
            return compose()
        tally, taken, quotas, rounds = self._rounds.get(prompt, (Tally((), ()), 0, Quotas(self._images, self._seed), 0))
        if len(tally.rows) - taken < images:
            rows = tally.rest(0)
            while len(rows) < images:
                for categories in quotas.assign(rounds, [each.target for each in balances]):
                    rows.append({each.target.attribute: name for each, name in zip(balances, categories, strict=True)})
                rounds += 1
            named = {0: [each.target.attribute for each in balances if each.named]}
            tally, taken = Tally([0] * len(rows), rows, named), 0
        self._rounds[prompt] = tally, taken + images, quotas, rounds
        effects = {each.target.attribute: each.effects for each in balances}
        probes = {each.target.attribute: each.probe for each in balances if each.probe is not None}
        loop = ClosedLoop(effects, tally, **balances[0].window, probes=probes)
        return loop.select(range(taken, taken + images), len(tally.rows))
