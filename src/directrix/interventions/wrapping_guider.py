"""A guider that leaves to another one whatever it does not do itself."""

from __future__ import annotations

from typing import Any

from diffusers.guiders import BaseGuidance


class WrappingGuider(BaseGuidance):
    """What is asked of it, read from it or set on it goes to its `guider`, once it has one."""

    guider: BaseGuidance

    @property
    def num_conditions(self) -> int:
        """How many batches this step has."""
        return self.guider.num_conditions

    @property
    def is_conditional(self) -> bool:
        """Whether the present batch is of the conditional branch."""
        return self.guider.is_conditional

    @property
    def _enabled(self) -> bool:
        return self.guider._enabled

    @property
    def _identifier_key(self) -> str:
        return self.guider._identifier_key

    @property
    def _input_predictions(self) -> Any:
        return self.guider._input_predictions

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The guided prediction, of the single ones by name."""
        return self.guider.forward(*args, **kwargs)

    def enable(self) -> None:
        """Switches the wrapped guider on."""
        self.guider.enable()

    def disable(self) -> None:
        """Switches guidance off; the directions stay."""
        self.guider.disable()

    def get_state(self) -> dict[str, Any]:
        """The wrapped guider's state."""
        return self.guider.get_state()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "guider" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")
        return getattr(self.guider, name)

    def __setattr__(self, name: str, value: Any) -> None:
        inner = vars(self).get("guider")
        if inner is None or name.startswith("_") or name in vars(self) or not hasattr(inner, name):
            super().__setattr__(name, value)
        else:
            setattr(inner, name, value)
