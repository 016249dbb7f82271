"""Jobs wait in order, are cancelled, fail with a sentence, and do not mix."""

import threading
import time

import pytest

from directrix.errors import DirectrixError
from directrix.studio.jobs import Queue


def _over(job):
    end = time.monotonic() + 10
    while not job.over and time.monotonic() < end:
        time.sleep(0.01)
    return job


@pytest.fixture
def held():
    """A queue whose worker is busy until the event is set."""
    queue, release, begun = Queue(most=2), threading.Event(), threading.Event()

    def work(job):
        begun.set()
        release.wait(10)
        job.check()
        return "first"

    job = queue.submit(work)
    assert begun.wait(10)
    yield queue, job, release
    release.set()


def test_jobs_are_done_in_order_and_know_their_place(held):
    queue, first, release = held
    second, third = queue.submit(lambda _: 2), queue.submit(lambda _: 3)
    assert [queue.place(each) for each in (first, second, third)] == [0, 1, 2]
    release.set()
    assert [_over(each).result for each in (first, second, third)] == ["first", 2, 3]


def test_a_full_queue_refuses_with_a_sentence(held):
    queue, *_ = held
    queue.submit(lambda _: 2)
    queue.submit(lambda _: 3)
    with pytest.raises(DirectrixError, match="The queue is full: 2 jobs"):
        queue.submit(lambda _: 4)


def test_a_cancelled_job_frees_its_place(held):
    queue, first, release = held
    second, third = queue.submit(lambda _: 2), queue.submit(lambda _: 3)
    queue.cancel(second.name)
    assert queue.place(third) == 1
    queue.cancel(first.name)
    release.set()
    assert _over(third).result == 3
    assert (first.state, first.result, second.state) == ("cancelled", None, "cancelled")


def test_progress_ends_a_cancelled_job(held):
    queue, first, release = held
    release.set()
    _over(first)
    at, go = threading.Event(), threading.Event()

    def work(job):
        with job.bar(4, "Drawing images") as bar:
            bar.advance(1)
            at.set()
            go.wait(10)
            bar.advance(1)
        return "never"

    job = queue.submit(work)
    assert at.wait(10)
    assert job.progress == (1, 4, "Drawing images")
    queue.cancel(job.name)
    go.set()
    assert _over(queue.submit(lambda _: "next")).result == "next"
    assert (job.state, job.result) == ("cancelled", None)


def test_failures_are_sentences_and_do_not_end_the_worker(held, caplog):
    queue, _, release = held
    release.set()

    def wrong(_):
        raise DirectrixError("There is no prompt.", "one word.")

    def broken(_):
        raise KeyError("/a/path/of/the/server")

    assert _over(queue.submit(wrong)).error == "There is no prompt. Expected: one word."
    failed = _over(queue.submit(broken))
    assert failed.state == "failed"
    assert "path" not in failed.error and "Try again" in failed.error
    assert _over(queue.submit(lambda _: 1)).result == 1


def test_a_search_lets_others_go_first_between_sets_of_images_and_never_within_one(held):
    queue, _, release = held
    order, judged = [], set()

    def search(job):
        for strength in range(4):
            if strength in judged:
                continue
            with job.bar(16, "drawing images") as bar:
                for _ in range(2):
                    order.append(strength)
                    bar.advance(8)
            judged.add(strength)
        return "found"

    found = queue.submit(search, "sets")
    other = queue.submit(lambda _: order.append("other"))
    release.set()
    assert _over(found).result == "found" and _over(other).over
    # One set while somebody waits, and none is drawn twice.
    assert order == [0, 0, "other", 1, 1, 2, 2, 3, 3]


def test_a_patient_job_lets_others_go_first_between_its_batches(held):
    queue, _, release = held
    order = []

    def long(job):
        with job.bar(16 - len(order) * 8, "none: drawing images") as bar:
            for _ in range(16 - len(order) * 8):
                bar.advance(1)
                if job.progress[0] % 8 == 0:
                    order.append("long")
        return "long"

    patient = queue.submit(long, "batches")
    other = queue.submit(lambda _: order.append("other"))
    release.set()
    assert _over(patient).result == "long" and _over(other).over
    assert order.index("other") < len(order) - 1
