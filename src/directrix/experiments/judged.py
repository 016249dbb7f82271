"""Images of some prompts under any interventions, always with the same seeds, and what several judges say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from directrix.generation.generate import Sampling, generate
from directrix.interventions.finite import beyond_range
from directrix.interventions.protocol import Intervention

if TYPE_CHECKING:
    from directrix.measurement.judges import Judge
    from directrix.measurement.judges.base import Verdicts

# The first calibrates; nothing is fitted to the second. Both report.
JUDGES = ("emoji", "emoji-held-out")


class JudgedImages:
    """Draws prompts and has every judge look at each image.

    judges: by the name that figures have for them. sampling: as in `generate`; interventions are given to ``under``.
    """

    def __init__(
        self,
        pipeline: Any,
        judges: Mapping[str, Judge],
        prompts: Sequence[str],
        images_per_prompt: int,
        **sampling: Unpack[Sampling],
    ) -> None:
        self._pipeline, self._judges, self._prompts = pipeline, judges, list(prompts)
        self._images_per_prompt, self._sampling = images_per_prompt, {"batch_size": 16, **sampling}

    @cached_property
    def plain(self) -> Mapping[str, Verdicts]:
        """What each judge says of the images without any intervention."""
        return self.under(())

    def under(self, interventions: Intervention | Sequence[Intervention]) -> Mapping[str, Verdicts]:
        """What each judge says of the images with these interventions."""
        settings: Any = {**self._sampling, "interventions": interventions}
        with beyond_range():
            records = generate(self._pipeline, self._prompts, self._images_per_prompt, **settings)
        images = [record.image for record in records]
        return {name: judge.label(images) for name, judge in self._judges.items()}
