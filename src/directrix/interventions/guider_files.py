"""A steered guider as files: `guider_config.json`, and beside it a safetensors file for each direction.

The configuration names each file, its direction's digest and strength, and the wrapped guider by its class. A class is
looked up among diffusers' own guiders and nowhere else, so reading executes nothing that a file says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from directrix.checks import validated
from directrix.directions import hub
from directrix.directions.direction import Direction
from directrix.errors import DirectionFileError, DirectrixError, first_line

if TYPE_CHECKING:
    from diffusers.guiders import BaseGuidance

    from directrix.interventions.steering import Steering


@dataclass
class _Entry:
    file: str
    digest: str
    strength: float | tuple[float, ...]


@dataclass
class _Content:
    directions: list[_Entry]
    guider: dict[str, Any]
    branch: str
    start: float
    stop: float


def file_of(direction: Direction) -> str:
    """The name of the direction's file."""
    name = re.sub(r"[^\w-]+", "-", direction.name).strip("-")[:60]
    return f"{name}-{direction.digest()}.safetensors"


def described(steering: Steering, guider: BaseGuidance) -> dict[str, Any]:
    """The configuration as JSON values."""
    import diffusers

    config = json.loads(guider.to_json_string())
    # diffusers' own configuration does not know what was set since, such as a scale.
    state = {**vars(guider), "enabled": guider._enabled}
    now = {name: state[name] for name in config if isinstance(state.get(name), int | float)}
    return {
        "_class_name": "Steered",
        "_diffusers_version": diffusers.__version__,
        "branch": steering.branch,
        "start": steering.start,
        "stop": steering.stop,
        "guider": {**config, **now},
        "directions": [
            {"file": file_of(each), "digest": each.digest(), "strength": strength}
            for each, strength in steering.strengths.items()
        ],
    }


def check(guider: BaseGuidance) -> None:
    """Raises DirectrixError where a guider is none of diffusers' own."""
    if _class_of(type(guider).__name__) is not type(guider):
        raise _foreign(type(guider).__name__)


def loaded(
    config: Any, source: str | PathLike[str], subfolder: str, revision: str | None, token: str | bool | None
) -> dict[str, Any]:
    """The arguments of `Steered` that a configuration stands for.

    Args:
        config: as `described` gives it.
        source, subfolder, revision, token: where it and the directions' files are: in a folder, or on the hub.

    Raises:
        DirectrixError: it makes no sense, or names a guider that is none of diffusers' own.
        DirectionFileError: a file is missing or damaged, or holds another direction.
        HubError: the hub cannot be reached.
    """
    if config.get("_class_name") != "Steered":
        raise DirectrixError(
            f"'{source}' holds a {config.get('_class_name')}.",
            "what Steered.save_pretrained wrote.",
            f"{config.get('_class_name')}.from_pretrained.",
        )
    public = {name: value for name, value in config.items() if not name.startswith("_")}
    content = validated(_Content, json.dumps(public), f"The guider's configuration in '{source}'")
    name = content.guider.get("_class_name")
    kind = _class_of(name)
    if kind is None:
        raise _foreign(name)
    directions = {}
    for entry in content.directions:
        if Path(entry.file).name != entry.file or not entry.file.endswith(".safetensors"):
            raise DirectionFileError(f"'{entry.file}' is no name of a direction's file.", "a file beside the config.")
        if Path(source).is_dir():
            direction = Direction.load(Path(source) / subfolder / entry.file)
        else:
            file = "/".join(filter(None, (subfolder, entry.file)))
            direction = Direction.load(hub.locate(source, revision, file=file, token=token))
        if direction.digest() != entry.digest:
            raise DirectionFileError(
                f"'{entry.file}' holds another direction than the guider was saved with.",
                f"the direction with the digest {entry.digest}.",
                "save the guider again.",
            )
        directions[direction] = entry.strength
    try:
        guider = kind.from_config(content.guider)
    except (TypeError, ValueError) as error:
        raise DirectrixError(f"The {name} in '{source}' makes no sense: {first_line(error)}.") from error
    settings = {name: getattr(content, name) for name in ("branch", "start", "stop")}
    return {"directions": directions, "guider": guider, **settings}


def _class_of(name: Any) -> type[BaseGuidance] | None:
    """The guider of diffusers' own that has this name."""
    from diffusers import guiders

    kind = vars(guiders).get(name) if isinstance(name, str) else None
    own = isinstance(kind, type) and issubclass(kind, guiders.BaseGuidance) and kind is not guiders.BaseGuidance
    return kind if own else None


def _foreign(name: Any) -> DirectrixError:
    return DirectrixError(
        f"The guider '{name}' is none of diffusers' own.",
        "one of diffusers.guiders, such as ClassifierFreeGuidance, without a second layer of steering.",
        "put all directions into one Steered, and make a guider of your own around it in code.",
    )
