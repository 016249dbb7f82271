"""The training loop that all networks share: averaged weights, checkpoints, resuming, progress."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from directrix.experiments.emoji_world.training.config import Schedule
from directrix.progress import Progress, silent

CHECKPOINT, CHECKPOINT_SECONDS = "checkpoint.safetensors", 120.0
AVERAGE = 0.999


def seeded(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The generator of one step, the same whether the run was interrupted or not. Devices differ in what it draws."""
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) % (2**63))


def precision(device: torch.device) -> torch.autocast:
    """A context in which networks compute in bfloat16 on CUDA, and in float32 elsewhere, where it is rarely slower."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def train(
    module: nn.Module,
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    folder: Path,
    label: str,
    progress: Progress = silent,
) -> None:
    """Train ``module`` in place on ``loss(step)`` and leave the averaged weights in it.

    State is in ``folder``; a run that was killed goes on from its last checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.99)
    )
    # An exponential moving average of the parameters, shorter at the start of a run.
    average = {name: value.detach().clone() for name, value in module.named_parameters()}
    step = _restore(folder, module, average, optimizer)
    saved = time.monotonic()
    module.train()
    with progress(schedule.steps, label) as bar:
        bar.advance(step)
        while step < schedule.steps:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            value = loss(step)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            step += 1
            # All parameters at once: one by one they take a GPU longer than a short step.
            averaged = get_ema_multi_avg_fn(min(AVERAGE, (1 + step) / (10 + step)))
            averaged(list(average.values()), list(module.parameters()), step)
            if step % 50 == 0 or step == schedule.steps:
                row = {"step": step, "loss": round(float(value.detach()), 6), "rate": schedule.rate(step)}
                with (folder / "log.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**row, "time": time.time()}) + "\n")
            if time.monotonic() - saved > CHECKPOINT_SECONDS or step == schedule.steps:
                _save(folder, step, module, average, optimizer)
                saved = time.monotonic()
            bar.advance(1)
    module.load_state_dict(average, strict=False)
    module.eval()


def _save(
    folder: Path, step: int, module: nn.Module, average: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    tensors = {f"module.{name}": value.detach() for name, value in module.named_parameters()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    state = optimizer.state_dict()["state"]
    for index, entry in state.items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in entry.items()}
    partial = folder / "checkpoint.partial"
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {"step": str(step)})
    partial.rename(folder / CHECKPOINT)


def _restore(folder: Path, module: nn.Module, average: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> int:
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    tensors = load_file(path)
    module.load_state_dict({name: tensors[f"module.{name}"] for name in average}, strict=False)
    average |= {name: tensors[f"average.{name}"].to(value.device) for name, value in average.items()}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return int(state[0]["step"].item())
    return 0
