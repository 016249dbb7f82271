"""A guider for diffusers' modular pipelines. It wraps another guider and adds directions:

    h' = h + sum_i strength_i * direction_i

at each direction's site, as `steering` does. A modular pipeline asks its guider for the batches of a step, and tells it
before and after each call of the denoiser. So nothing about branches and steps has to be found out here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from copy import deepcopy
from os import PathLike
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from diffusers.configuration_utils import register_to_config
from diffusers.guiders import BaseGuidance, ClassifierFreeGuidance

from directrix.directions.direction import Direction
from directrix.directions.strength import Strength
from directrix.errors import DirectrixError, StrengthError
from directrix.interventions import guider_files
from directrix.interventions.compatibility import check_model
from directrix.interventions.finite import check_range
from directrix.interventions.guided_call import GuidedCall
from directrix.interventions.steering import Steering
from directrix.interventions.wrapping_guider import WrappingGuider
from directrix.models.steerable import SteerableModel

if TYPE_CHECKING:
    from torch import nn


class Steered(WrappingGuider):
    """Steers the images of a modular pipeline.

        pipeline.update_components(guider=Steered({woman: 1.0}, pipeline.guider))

    What it does not define itself (a guidance scale, `disable`) is the wrapped guider's.

    Args:
        directions: a strength for each direction, a number or one per image (prompts times images per prompt, in the
            pipeline's order); or a single direction, which then has its default strength.
        guider: the one that is wrapped, any guider whose predictions are named as diffusers names them; None for
            `ClassifierFreeGuidance()`.
        branch: "conditional", "unconditional" or "both". Perturbed predictions (skipped layers, perturbed or smoothed
            attention) are of the conditional branch: they are the model's answer to the prompt as well. A step
            without guidance has the conditional branch only. A direction's parts of the unconditional branch act with
            "conditional" alone.
        start, stop: window of the steps as fractions of the run; step i of n is steered if start <= i / n < stop.

    Raises:
        StrengthError: a strength, branch or window that is not usable; in a run, not one strength per image, or
            values that are not finite.
        MismatchError: (in a run) a direction of another model, or one that does not fit the size of the images.
        DirectrixError: (in a run) blocks that do not announce each call of the denoiser.
    """

    # Whatever has a load id is written to a pipeline's index, and so saved and loaded with the pipeline.
    _diffusers_load_id = "null|null|null|null"

    @register_to_config
    def __init__(
        self,
        directions: Direction | Mapping[Direction, Strength],
        guider: BaseGuidance | None = None,
        branch: str = "conditional",
        start: float = 0.0,
        stop: float = 1.0,
    ) -> None:
        if guider is not None and not isinstance(guider, BaseGuidance):
            raise DirectrixError(
                f"The guider is a {type(guider).__name__}.",
                "one of diffusers' guiders.",
                "Steered(directions, pipeline.guider).",
            )
        # diffusers takes what was given by position for defaults, and would leave it out of a copy.
        self.register_to_config(_use_default_values=[])
        self.steering = Steering(directions, branch, start, stop)
        self._branches: list[str] = []
        self._batches: list[Any] = []
        self._announced = 0
        self._checked: set[int] = set()
        self._call: GuidedCall | None = None
        self.guider = ClassifierFreeGuidance() if guider is None else guider

    def install(self, pipeline: Any) -> None:
        """Takes the place of the pipeline's guider, and wraps it unless another one was given.

        Raises:
            DirectrixError: the pipeline is not modular, or its blocks have no guider, or more than one.
            MismatchError: a direction of another model.
        """
        found = guiders_of(pipeline)
        if len(found) != 1:
            raise DirectrixError(
                f"The blocks of {type(pipeline).__name__} have {', '.join(found) or 'no guider'}, so no one guider "
                "sees every call of a denoiser.",
                "blocks with one guider, as those of SDXL, Stable Diffusion 3, Qwen-Image or Z-Image have.",
                "the model's pipeline that is not modular, with directrix.steer.",
            )
        self._check(SteerableModel.of(pipeline))
        (name,) = found
        if self.config["guider"] is None:
            self.guider = found[name]
            self.register_to_config(guider=self.guider)
        pipeline.update_components(**{name: self})

    # What a loop of denoising steps calls, in this order.

    def set_state(self, step: int, num_inference_steps: int, timestep: Any) -> None:
        """A step begins."""
        self._close()
        self._branches, self._batches, self._announced = [], [], 0
        if step == 0:
            self._checked.clear()
        self.guider.set_state(step, num_inference_steps, timestep)

    def prepare_inputs(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The step's batches."""
        return self._noted(self.guider.prepare_inputs(*args, **kwargs))

    def prepare_inputs_from_block_state(self, *args: Any, **kwargs: Any) -> list[Any]:
        """The step's batches."""
        return self._noted(self.guider.prepare_inputs_from_block_state(*args, **kwargs))

    def prepare_models(self, denoiser: nn.Module) -> None:
        """The caller is about to call the denoiser with the next batch."""
        self._close()
        self.guider.prepare_models(denoiser)
        frame: Any = sys._getframe(1)
        while isinstance(frame.f_locals.get("self"), BaseGuidance):
            frame = frame.f_back
        try:
            self._open(denoiser, frame)
        except BaseException:
            self._abandon(denoiser)
            raise

    def cleanup_models(self, denoiser: nn.Module) -> None:
        """That call is over."""
        call = self._call
        self._close()
        self.guider.cleanup_models(denoiser)
        if call is not None and not call.happened:
            raise _unannounced("the denoiser was not called by the function that called prepare_models")

    def __call__(self, data: list[Any]) -> Any:
        """The guided prediction."""
        if self._announced != len(self._branches):
            raise _unannounced(f"{self._announced} of the step's {len(self._branches)} calls were announced")
        return self.guider(data)

    def _noted(self, batches: list[Any]) -> list[Any]:
        from weakref import ref

        names = [getattr(batch, self._identifier_key, None) for batch in batches]
        self._branches = [_branch(name, type(self.guider).__name__) for name in names]
        self._batches = [ref(batch) for batch in batches]
        self._announced = 0
        return batches

    def _open(self, denoiser: nn.Module, loop: FrameType) -> None:
        place, self._announced = self._announced, self._announced + 1
        if place >= len(self._branches):
            raise _unannounced(f"the denoiser is called more often than for the guider's {place} batches")
        fraction = self._fraction()
        if not self.steering.start <= fraction < self.steering.stop:
            return
        model = SteerableModel(SimpleNamespace(unet=denoiser))
        if id(denoiser) not in self._checked:
            self._check(model)
            self._checked.add(id(denoiser))
        guided = "unconditional" in self._branches
        self._call = GuidedCall(self.steering, model, self._branches[place], guided, loop, fraction)
        self._call.open(self._batches[place](), lambda: self._abandon(denoiser))

    def _check(self, model: SteerableModel) -> None:
        check_model(model, self.steering.strengths)
        for each, strength in self.steering.strengths.items():
            check_range(each, strength)

    def _fraction(self) -> float:
        """How many of the steps are done, as a fraction; 0 where all are steered alike, and none need be known."""
        steering, state = self.steering, self.guider.get_state()
        weighted = any(part.weights is not None for each in steering.strengths for part in each.parts)
        if steering.start == 0 and steering.stop == 1 and not weighted:
            return 0.0
        step, steps = state["step"], state["num_inference_steps"]
        if not 0 <= step < steps:
            raise StrengthError(
                f"This is step {step} of {steps}, so the window of steps cannot be kept.",
                "a scheduler that asks the denoiser once a step.",
                "start=0.0, stop=1.0, or a scheduler such as EulerDiscreteScheduler.",
            )
        return step / steps

    def _close(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.close()

    def _abandon(self, denoiser: nn.Module) -> None:
        """Leaves nothing behind, of the wrapped guider's neither, when a call fails."""
        self._close()
        self.guider.cleanup_models(denoiser)

    # Copies and files.

    def new(self, **kwargs: Any) -> Any:
        """A copy with a copy of the wrapped guider, and with some arguments changed."""
        return super().new(**{"guider": deepcopy(self.guider), **kwargs})

    def to_json_string(self) -> str:
        """The configuration: the directions by the names of their files, the wrapped guider by its class and config."""
        return json.dumps(guider_files.described(self.steering, self.guider), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, save_directory: str | PathLike[str], push_to_hub: bool = False, **kwargs: Any) -> None:
        """Writes the configuration and, beside it, a file for each direction; see `BaseGuidance.save_pretrained`.

        Raises:
            DirectrixError: the wrapped guider is none of diffusers' own, and so could not be loaded.
            OutputError: a file cannot be written.
        """
        guider_files.check(self.guider)
        for direction in self.steering.strengths:
            direction.save(Path(save_directory) / guider_files.file_of(direction))
        super().save_pretrained(save_directory, push_to_hub, **kwargs)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        subfolder: str | None = None,
        return_unused_kwargs: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Reads what `save_pretrained` wrote, from a folder or the hub; see `BaseGuidance.from_pretrained`.

        Nothing in the files is executed, and all of them are checked.

        Raises:
            DirectrixError: the configuration makes no sense, or names a guider that is none of diffusers' own.
            DirectionFileError: a direction's file is missing or damaged, or is another one.
        """
        source, token = pretrained_model_name_or_path, kwargs.get("token")
        found: Any = cls.load_config(
            source, subfolder=subfolder, return_unused_kwargs=True, return_commit_hash=True, **kwargs
        )
        config, unused, commit = found
        revision = commit or kwargs.get("revision")
        loaded = guider_files.loaded(config, source, subfolder or "", revision, token)
        return cls.from_config(loaded, return_unused_kwargs=return_unused_kwargs, **unused)


def guiders_of(pipeline: Any) -> dict[str, BaseGuidance]:
    """The guiders of a modular pipeline by name; DirectrixError for another pipeline."""
    if not hasattr(pipeline, "update_components"):
        raise DirectrixError(
            f"{type(pipeline).__name__} is no modular pipeline.",
            "one of diffusers' modular pipelines.",
            "directrix.steer(pipeline, directions).",
        )
    return {name: each for name, each in pipeline.components.items() if isinstance(each, BaseGuidance)}


def _branch(prediction: Any, guider: str) -> str:
    """The branch of guidance that a prediction of this name is of."""
    if prediction == "pred_uncond":
        return "unconditional"
    if str(prediction).startswith("pred_cond"):
        return "conditional"
    raise DirectrixError(
        f"{guider} makes a prediction '{prediction}', of which the branch of guidance is not known.",
        "names such as pred_cond, pred_uncond and pred_cond_skip.",
        "another guider, such as ClassifierFreeGuidance.",
    )


def _unannounced(what: str) -> DirectrixError:
    return DirectrixError(
        f"The calls of the denoiser cannot be told apart: {what}.",
        "blocks that call prepare_models before and cleanup_models after each call, as diffusers' own do.",
        "the model's pipeline that is not modular, with directrix.steer.",
    )


# Where a saved pipeline finds the class.
Steered.__module__ = "directrix.guiders"
