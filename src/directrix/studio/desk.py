"""The desk: what a page's visitors do with jobs. One visitor has at most one job; a new one replaces the old one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from directrix.errors import DirectrixError
from directrix.studio.artist import Artist
from directrix.studio.jobs import Job, Patience, Queue

LOOK_EVERY = 0.15  # seconds
MOST_VISITORS = 10_000


class Desk:
    """Takes the visitors' jobs to the queue, and tells how they are."""

    def __init__(self, artist: Artist, queue: Queue | None = None) -> None:
        self.artist = artist
        self.queue = queue or Queue()
        self._of: dict[str, str] = {}

    def submit(self, visitor: str, work: Callable[[Job], Any], patience: Patience = "", asked: Any = None) -> Job:
        """Cancels the visitor's job, if there is one, and submits another. DirectrixError where the queue is full."""
        self.queue.cancel(self._of.pop(visitor, None))
        job = self.queue.submit(work, patience, asked)
        self.adopt(visitor, job.name)
        return job

    def adopt(self, visitor: str, name: str) -> None:
        """Makes a job, known by its name, the visitor's: after a reload."""
        while len(self._of) >= MOST_VISITORS:
            del self._of[next(iter(self._of))]
        self._of[visitor] = name

    def job(self, name: object) -> Job | None:
        """The job of this name, as a browser remembers it; None for one that is gone."""
        return self.queue.get(name if isinstance(name, str) else None)

    def returned(self, visitor: str, name: object) -> Job | None:
        """The same; it is the visitor's from now on."""
        job = self.job(name)
        if job is not None:
            self.adopt(visitor, job.name)
        return job

    def cancel(self, visitor: str) -> Job | None:
        """Cancels the visitor's job and returns it."""
        name = self._of.get(visitor)
        self.queue.cancel(name)
        return self.queue.get(name)

    async def follow(self, job: Job) -> AsyncIterator[int]:
        """Yields the job's place whenever something about it changed, and once more when it is over."""
        seen: Any = None
        while True:
            now = (job.state, job.progress, self.queue.place(job), job.shows)
            if now != seen:
                yield now[2]
            seen = now
            if now[0] in ("done", "cancelled", "failed"):
                return
            await asyncio.sleep(LOOK_EVERY)


def failed(error: DirectrixError) -> Job:
    """A job that nobody began, for what was asked for makes no sense."""
    return Job(lambda _: None, state="failed", error=str(error))
