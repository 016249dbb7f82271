"""A process that forks a child for each task that it is told, so that a kill costs no import.

A line of its input is {"task", "folder", "limit", "user", "count", "port"}; it answers with the child's number, and in
the end with its exit code and what it said. Where there is a count, so many children share the task as those of one
launch; the number is the last one's, and the code the largest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch

from directrix.concept import Concept
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.discovery import Optimizer, Sampling, discover
from directrix.errors import DirectrixError, NoEffectError
from directrix.generation.generate import generate
from directrix.interventions.steering import Steering
from directrix.measurement.benchmarks.own_prompts import own_prompts
from directrix.measurement.calibration.calibrate import calibrate
from directrix.measurement.evaluation.run import evaluate
from directrix.measurement.judges.base import Verdict
from directrix.models import identity, processes, sites

PROMPTS = ["a judge", "a cook\u2028at night", "a pilot"]
QUICK: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 5.0, "batch_size": 2}
WOMAN = Concept.of("woman", "a woman", "a person")


class Judge:
    """Says by a hash of the pixels what an image shows, and how much of it."""

    name = "hash"
    labels = {"gender": ("female", "male")}  # noqa: RUF012
    config: dict[str, Any] = {"name": "hash"}  # noqa: RUF012

    def label(self, images: Any) -> list[dict[str, Verdict]]:
        values = [hashlib.sha256(np.asarray(image).tobytes()).digest()[0] for image in images]
        return [{"gender": Verdict(self.labels["gender"][value % 2], value / 255)} for value in values]

    def features(self, images: Any) -> np.ndarray:
        return np.stack([np.asarray(image, dtype=np.float32).mean((0, 1)) for image in images])


class Tasks:
    """What is disturbed, each in a folder of its own; all are small."""

    def __init__(self, pipeline: Any, folder: Path) -> None:
        self.pipeline = pipeline
        file = folder / "mine.txt"
        file.write_text("".join(f"{each}\n" for each in PROMPTS), encoding="utf-8")
        self.benchmark = own_prompts(file, [], "emoji").measuring(["preservation"])
        tensor = 3 * torch.randn(32, 4, 4, generator=torch.Generator().manual_seed(0))
        recipe = {"concept": {"name": "woman", "pairs": [{"target": "a woman", "neutral": "a person"}]}}
        self.woman = Direction("woman", tensor, sites.find(pipeline), identity(pipeline), recipe)

    def generate(self, folder: Path) -> None:
        generate(self.pipeline, PROMPTS, 4, output=folder, interventions=Steering({self.woman: 1.0}), **QUICK)

    def evaluate(self, folder: Path) -> None:
        methods = {"none": (), "steered": Steering({self.woman: 1.0})}
        evaluate(self.pipeline, self.benchmark, methods, [Judge()], 2, 0, folder, **QUICK)

    def discover(self, folder: Path) -> None:
        sampling = Sampling(images=6, batch_size=2, num_inference_steps=2)
        optimizer = Optimizer(steps=6, batch_size=2, checkpoint_every=2)
        settings: dict[str, Any] = {"sampling": sampling, "optimizer": optimizer, "checkpoint": folder / "checkpoint"}
        found = discover(self.pipeline, WOMAN, "reconstruction", **settings)
        (folder / "result").write_bytes(found.tensor.numpy().tobytes())

    def calibrate(self, folder: Path) -> None:
        settings: dict[str, Any] = {"target_label": TargetLabel("gender", "female"), "num_inference_steps": 1}
        try:
            found = calibrate(self.pipeline, self.woman, Judge(), **settings, checkpoint=folder / "checkpoint")
            said = json.dumps(found.provenance["calibration"])
        except NoEffectError as error:
            said = str(error)
        (folder / "result").write_text(said)


def run(tasks: Tasks, told: dict[str, Any], rank: int) -> tuple[int, str]:
    """One task in this process; its exit code, and what it says."""
    folder = Path(told["folder"])
    if told.get("limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (told["limit"],) * 2)
    if told.get("user"):
        os.setuid(told["user"])
    if "count" in told:
        place = {"WORLD_SIZE": told["count"], "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": told["port"]}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(each) for name, each in place.items()}}
    try:
        processes.join()
        getattr(tasks, told["task"])(folder)
    except KeyboardInterrupt:
        return 130, ""
    except SystemExit as error:
        return int(error.code or 0), ""
    except DirectrixError as error:
        return error.exit_code, str(error)
    except BaseException:
        return 1, traceback.format_exc()
    return 0, ""


def main() -> None:
    """Serves until the input ends."""
    from conftest import build_pipeline

    torch.set_num_threads(1)
    tasks = Tasks(build_pipeline(Path(sys.argv[1]), "epsilon", 0), Path(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        ours, theirs = os.pipe()  # a file would be limited, too
        children = [fork(tasks, told, rank, theirs) for rank in range(told.get("count", 1))]
        os.close(theirs)
        print(children[-1], flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        with open(ours, encoding="utf-8", errors="replace") as pipe:
            print(json.dumps([max(codes, key=abs), pipe.read()]), flush=True)


def fork(tasks: Tasks, told: dict[str, Any], rank: int, pipe: int) -> int:
    """A child that does the task and writes to the pipe what it says; its number."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = 130
        with contextlib.suppress(BaseException):
            code, said = run(tasks, told, rank)
            os.write(pipe, said.encode()[:60_000])
        os._exit(code)
    return child


if __name__ == "__main__":
    main()
