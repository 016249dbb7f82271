"""Jobs: a bounded queue with one worker, so that one model draws for everybody and nobody's steering is mixed.

A job is known by a random name, which the browser remembers: whoever has it sees the job, also after a reload.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from directrix.errors import DirectrixError
from directrix.progress import Task

LOG = logging.getLogger(__name__)
MOST = 40  # jobs that wait
REMEMBERED = 200  # jobs that are done, and whose results can still be seen
TURN = 8  # units that a patient job does before it lets others go first: one batch of images
State = Literal["waiting", "running", "done", "cancelled", "failed"]
# When a job lets others go first: never, after each batch of images, or before another set of images is drawn.
Patience = Literal["", "batches", "sets"]


class Cancelled(Exception):
    """The job was cancelled while it ran."""


class Later(Exception):
    """The job lets others go first, and goes on from where it is when its turn comes again."""


@dataclass(eq=False)
class Job:
    """One piece of work: `work` gets the job, to say how far it is, and returns the result.

    progress: done and total units, and what they are.
    interim: what the page shows of the result while the rest is to come; `shows` counts how often it changed.
    error: a sentence, where it failed.
    asked: what the page's form says of it, so that a reload brings the form back too.
    patience: of work that can go on where it was stopped.
    others: whether somebody waits.
    sets: of images, that were drawn since its turn began.
    """

    work: Callable[[Job], Any]
    name: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: State = "waiting"
    progress: tuple[int, int, str] = (0, 0, "")
    result: Any = None
    interim: Any = None
    shows: int = 0
    error: str = ""
    asked: Any = None
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    on_cancel: Callable[[], None] | None = None
    patience: Patience = ""
    others: Callable[[], bool] = lambda: False
    sets: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in ("done", "cancelled", "failed")

    @property
    def latest(self) -> Any:
        """The result, or what there is of it."""
        return self.interim if self.result is None else self.result

    def show(self, interim: Any) -> None:
        """Lets the page show a part of the result. Raises Cancelled where somebody cancelled the job."""
        self.check()
        self.interim, self.shows = interim, self.shows + 1

    def check(self) -> None:
        """Raises Cancelled where somebody cancelled it."""
        if self.state == "cancelled":
            raise Cancelled

    @contextmanager
    def bar(self, total: int, label: str) -> Iterator[Task]:
        """A `directrix.progress.Progress` that the page shows."""
        job = self

        class Bar(Task):
            def advance(self, n: int = 1) -> None:
                job.check()
                done = job.progress[0] + n
                job.progress = (done, total, label)
                if images and job.patience == "batches" and done % TURN == 0 and job.others():
                    raise Later

        self.check()
        images = "drawing images" in label.lower()
        # What this turn has drawn is judged and stored by now.
        if images and self.patience == "sets" and self.sets and self.others():
            raise Later
        self.progress = (0, total, label)
        yield Bar()
        self.sets += images


class Queue:
    """Jobs in the order in which they came, done one after another by one thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: deque[Job] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._running: Job | None = None
        threading.Thread(target=self._work, name="directrix-studio", daemon=True).start()

    def submit(self, work: Callable[[Job], Any], patience: Patience = "", asked: Any = None) -> Job:
        """Puts work at the end. Raises DirectrixError where the queue is full.

        asked: see `Job`.
        patience: when it lets others go first; it is then called again, to go on.
        """
        with self._changed:
            if len(self._waiting) >= self._most:
                happened = f"The queue is full: {len(self._waiting)} jobs are waiting."
                raise DirectrixError(happened, "a free place.", "again in a minute.")
            job = Job(work, asked=asked, patience=patience, others=lambda: bool(self._waiting))
            self._jobs[job.name] = job
            self._waiting.append(job)
            over = [name for name, each in self._jobs.items() if each.over]
            for name in over[: max(0, len(self._jobs) - REMEMBERED)]:
                del self._jobs[name]
            self._changed.notify_all()
        return job

    def get(self, name: str | None) -> Job | None:
        """The job of that name; None where it is not known, or no longer."""
        return self._jobs.get(name or "")

    def place(self, job: Job) -> int:
        """How many jobs are done before this one; 0 where it runs or is over."""
        with self._changed:
            ahead = list(self._waiting)
            return ahead.index(job) + (self._running is not None) if job in ahead else 0

    def cancel(self, name: str | None) -> None:
        """Cancels a job: a waiting one leaves the queue, a running one stops at its next step."""
        with self._changed:
            job = self._jobs.get(name or "")
            if job is None or job.over:
                return
            if job in self._waiting:
                self._waiting.remove(job)
            job.state = "cancelled"
            if job.on_cancel is not None:
                job.on_cancel()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._running = self._waiting.popleft()
                job.state, job.sets = "running", 0
            state, result, error = "done", None, ""
            try:
                result = job.work(job)
            except Cancelled:
                state = "cancelled"
            except Later:
                state = "waiting"
            except DirectrixError as problem:
                state, error = "failed", str(problem)
            except Exception:
                LOG.exception("A job of the studio failed.")
                state, error = "failed", "Something went wrong here. Try again; the terminal says more."
            with self._changed:
                self._running, job.on_cancel = None, None
                job.seconds = time.monotonic() - job.began
                if job.state != "cancelled":
                    job.result, job.error, job.state = result, error, state
                    if state == "done":
                        job.interim = None
                    if state == "waiting":
                        self._waiting.append(job)
