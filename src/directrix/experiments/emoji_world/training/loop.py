"""The training loop that all parts share: warm-up, decay, averaged weights, checkpoints, resuming, progress."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from directrix.progress import Progress, silent

CHECKPOINT_SECONDS = 120.0
WARM_UP = 100
AVERAGE = 0.999


@dataclass(frozen=True)
class Schedule:
    """Steps of Adam: the learning rate is constant after warm-up, then falls linearly over the last ``decay``."""

    steps: int
    learning_rate: float
    decay: float = 0.35
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        falling = max(1.0, self.steps * self.decay)
        return self.learning_rate * min(1.0, (step + 1) / min(WARM_UP, self.steps), (self.steps - step) / falling)


@dataclass(frozen=True)
class Part:
    """How one network is trained: images or batches of images, its schedule, batch size and seeds."""

    count: int
    schedule: Schedule
    batch_size: int
    data_seed: int
    seed: int


def seeded(seed: int, step: int) -> torch.Generator:
    """The generator of one step, the same whether the run was interrupted or not."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (2**63))


Weights = dict[str, Tensor]


def _set(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(values[name])


def train(
    module: nn.Module,
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    folder: Path,
    label: str,
    progress: Progress = silent,
    until: int | None = None,
) -> None:
    """Train ``module`` in place on ``loss(step)`` and leave the averaged weights in it.

    State is in ``folder``; a run that was killed goes on from its last checkpoint. ``until`` stops it at a step of
    its schedule, to go on with other data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.99)
    )
    # An exponential moving average of the parameters, shorter at the start of a run.
    average = {name: value.detach().clone() for name, value in module.named_parameters()}
    step = _restore(folder, module, average, optimizer)
    stop = schedule.steps if until is None else until
    saved = time.monotonic()
    module.train()
    with progress(schedule.steps, label) as bar:
        bar.advance(step)
        while step < stop:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            value = loss(step)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            step += 1
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    average[name].lerp_(parameter, 1 - min(AVERAGE, (1 + step) / (10 + step)))
            if step % 50 == 0 or step == stop:
                row = {"step": step, "loss": round(float(value.detach()), 6), "rate": schedule.rate(step)}
                with (folder / "log.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**row, "time": time.time()}) + "\n")
            if time.monotonic() - saved > CHECKPOINT_SECONDS or step == stop:
                _save(folder, step, module, average, optimizer)
                saved = time.monotonic()
            bar.advance(1)
    _set(module, average)
    module.eval()


def finished(module: nn.Module, steps: int, folder: Path) -> bool:
    """Whether the run in ``folder`` has taken so many steps; then ``module`` gets its averaged weights."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return False
    with safe_open(path, framework="pt") as file:
        if int((file.metadata() or {}).get("step", 0)) < steps:
            return False
        _set(module, {name: file.get_tensor(f"average.{name}") for name, _ in module.named_parameters()})
    return True


def _save(folder: Path, step: int, module: nn.Module, average: Weights, optimizer: torch.optim.Optimizer) -> None:
    tensors = {f"module.{name}": value.detach() for name, value in module.named_parameters()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    state = optimizer.state_dict()["state"]
    for index, entry in state.items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in entry.items()}
    partial = folder / "checkpoint.partial"
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {"step": str(step)})
    partial.rename(folder / "checkpoint.safetensors")


def _restore(folder: Path, module: nn.Module, average: Weights, optimizer: torch.optim.Optimizer) -> int:
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    _set(module, {name: tensors[f"module.{name}"] for name in average})
    average |= {name: tensors[f"average.{name}"] for name in average}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return int(state[0]["step"].item())
    return 0
