"""Many visitors at once get their own images, and one visitor's new job replaces the old one."""

import asyncio
from statistics import median

import pytest

from directrix.studio.artist import Artist
from directrix.studio.desk import Desk
from directrix.studio.jobs import Queue
from directrix.studio.recipe import Recipe

USERS = 20


@pytest.fixture
def desk(pipeline, make_direction, monkeypatch):
    from directrix.models.steerable import SteerableModel

    direction = make_direction()
    monkeypatch.setattr(Artist, "load", lambda *_: SteerableModel.of(pipeline))
    monkeypatch.setattr(Artist, "given", lambda *_: {direction.name: direction})
    return Desk(Artist(("tiny",)), Queue())


async def _drawn(desk, visitor, recipe):
    job = desk.submit(visitor, lambda job: desk.artist.pairs(job, recipe))
    places = [place async for place in desk.follow(job)]
    return job, places


def test_a_new_job_of_a_visitor_replaces_the_old_one(desk):
    async def both():
        old = desk.submit("me", lambda job: desk.artist.pairs(job, Recipe("tiny", "a judge", 1, 1)))
        new, _ = await _drawn(desk, "me", Recipe("tiny", "a nurse", 2, 1))
        other, _ = await _drawn(desk, "you", Recipe("tiny", "a pilot", 3, 1))
        return old, new, other

    old, new, other = asyncio.run(both())
    assert old.over and new.state == other.state == "done"
    assert new.result.recipe.prompt == "a nurse"


def test_a_cancelled_job_is_not_followed_for_ever(desk):
    async def cancelled():
        job = desk.submit("me", lambda job: desk.artist.pairs(job, Recipe("tiny", "a judge", 1, 1)))
        desk.cancel("me")
        return job, [place async for place in desk.follow(job)]

    job, places = asyncio.run(cancelled())
    assert job.state in ("cancelled", "done") and places


@pytest.mark.slow
def test_twenty_visitors_at_once_each_get_the_images_of_their_own_recipe(desk, record_property):
    recipes = [Recipe("tiny", "a judge", seed, 1, {"woman": 0.25 * (1 + seed % 4)}) for seed in range(USERS)]

    async def everybody():
        return await asyncio.gather(*(_drawn(desk, f"{each.seed}", each) for each in recipes))

    done = asyncio.run(everybody())
    alone = Desk(Artist(("tiny",)), Queue())
    for (job, places), recipe in zip(done, recipes, strict=True):
        assert job.state == "done" and places[-1] == 0
        mine = asyncio.run(_drawn(alone, "me", recipe))[0].result
        assert [each.tobytes() for each in job.result.steered] == [each.tobytes() for each in mine.steered]
    record_property("median seconds", median(job.seconds for job, _ in done))
