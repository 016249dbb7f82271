"""Audits go on where they were stopped, show what judges saw, and tell nothing of the server."""

import json

import pytest

from directrix.errors import BenchmarkError, DirectrixError
from directrix.studio import audit_markup, audit_run
from directrix.studio.artist import Artist
from directrix.studio.audit_figures import AGREE, Seen, front
from directrix.studio.audits import MOST, Audits, Plan, offered
from directrix.studio.jobs import Cancelled, Job


@pytest.fixture
def artist(pipeline, make_direction, monkeypatch, tmp_path, brightness_judges):
    from directrix.measurement import evaluation
    from directrix.models.steerable import SteerableModel

    direction = make_direction()
    found = Artist(("tiny",), own=tmp_path)
    monkeypatch.setattr(found, "load", lambda _: SteerableModel.of(pipeline))
    monkeypatch.setattr(found, "given", lambda _: {direction.name: direction})
    monkeypatch.setattr(evaluation, "named_judges", lambda *_: brightness_judges("man", "woman"))
    return found


@pytest.fixture
def audits(tmp_path):
    return Audits(tmp_path / "audits")


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "my prompts.csv"
    path.write_text("prompt,group\na judge,law\na <b>nurse</b>,care\n")
    return path


PLAN = {"model": "tiny", "methods": ("none", "direction woman"), "file": "prompts.csv", "balanced": ("gender",)}


def test_a_stopped_audit_goes_on_and_a_later_studio_shows_it(artist, audits, upload, tmp_path):
    name = audits.create(Plan(**PLAN, images=4), upload)
    job = Job(lambda _: None, patience="batches")

    def cancel():
        job.state = "cancelled"
        return False

    # After the first batch.
    job.others = cancel
    with pytest.raises(Cancelled):
        audit_run.run(job, artist, audits, name)
    with pytest.raises(DirectrixError):
        audit_markup.audit(name, audits.run(name))
    assert audit_run.run(Job(lambda _: None), artist, audits, name) == name
    later = Audits(tmp_path / "audits")
    assert later.names() == [name] and later.plan(name).images == 4
    shown = audit_markup.audit(name, later.run(name))
    assert "Deviation ratio, gender" in shown and "direction woman" in shown and str(tmp_path) not in shown
    images = audit_markup.images(later.run(name), AGREE[0], "")
    assert images.count("<img") == 16 and "<b>nurse" not in images and "first judge and second judge" in images
    assert audit_markup.groups(later.run(name)) == ["law", "care"]
    assert audit_markup.images(later.run(name), AGREE[0], "law").count("<img") == 8
    assert audit_markup.images(later.run(name), AGREE[1], "").count("<img") < 16
    page = audit_markup.page(later.run(name)).decode()
    assert "<html" in page and 'src="http' not in page and str(tmp_path) not in page
    assert "<b>nurse" not in page


def test_two_audits_are_compared_figure_by_figure(artist, audits, upload):
    names = [audits.create(Plan(**PLAN, images=1, seed=seed), upload) for seed in (0, 1)]
    for name in names:
        audit_run.run(Job(lambda _: None), artist, audits, name)
    pair = [(name, audits.run(name)) for name in names]
    shown = audit_markup.compared(*pair)
    assert shown.count('<th scope="col">') == 5 and all(name in shown for name in names)


def test_what_judges_saw_is_said_once_where_they_agree(tmp_path):
    def seen(*labels):
        return Seen(tmp_path, "none", "a judge", "", {str(place): each for place, each in enumerate(labels)}).said

    female, unsure = {"gender": "female", "tone": "light"}, {"gender": None, "tone": "light"}
    assert seen(female, female) == ["female, light"]
    assert seen(female, unsure) == ["female, light", "not sure, light"]


def test_the_front_is_of_methods_that_no_other_one_beats():
    def figure(value):
        return {"value": value, "low": value, "high": value, "n": 8}

    values = {"none": (0.9, 1.0), "fair": (0.1, 0.9), "worse": (0.2, 0.8)}
    methods = {
        name: {"deviation_ratio_gender": {"mean": figure(gap)}, "obeys_subject": {"mean": figure(retained)}}
        for name, (gap, retained) in values.items()
    }
    found = front({"methods": methods, "provenance": {"methods": {}}})
    assert found is not None and found.less
    assert {each.name: each.best for each in found.points} == {"none": True, "fair": True, "worse": False}
    assert front({"methods": {"none": methods["none"]}, "provenance": {"methods": {}}}) is None


@pytest.mark.parametrize(
    "content, name", [("", "a.txt"), ("x" * 501, "a.txt"), ("a judge", "a.exe"), ("prompt\n", "a.csv")]
)
def test_an_upload_that_holds_no_prompts_is_refused_without_a_path(audits, tmp_path, content, name):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BenchmarkError) as raised:
        audits.create(Plan(**PLAN), path)
    assert str(tmp_path) not in str(raised.value) and not audits.names()


@pytest.mark.parametrize(
    "wrong", [{"methods": ()}, {"images": 21}, {"prompts": 0}, {"images": 20, "prompts": 200}, {"seed": None}]
)
def test_a_plan_has_bounds(wrong):
    with pytest.raises(DirectrixError):
        Plan(**{**PLAN, **wrong})


@pytest.mark.parametrize("name", ["..", "", "x/../..", None])
def test_only_a_name_of_the_list_is_a_folder(audits, upload, name):
    audits.create(Plan(**PLAN), upload)
    for ask in (audits.run, audits.plan, audits.delete):
        with pytest.raises(DirectrixError, match="no such audit"):
            ask(name)


@pytest.mark.parametrize("changed", [{"file": "../../prompts.csv"}, {"file": "/etc/passwd"}, {"benchmark": "../mine"}])
def test_a_plan_that_was_changed_reads_no_file_elsewhere(audits, upload, changed):
    name = audits.create(Plan(**PLAN), upload)
    path = audits.run(name).parent / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(BenchmarkError, match=r"not in its folder|no benchmark"):
        audits.benchmark(name, "emoji")


def test_there_are_so_many_audits_and_no_more(audits, upload):
    names = [audits.create(Plan(**PLAN), upload) for _ in range(MOST)]
    assert len(set(names)) == MOST
    with pytest.raises(DirectrixError, match="delete one"):
        audits.create(Plan(**PLAN), upload)
    audits.delete(names[0])
    assert len(audits.names()) == MOST - 1


def test_benchmarks_of_the_package_are_offered_that_an_embedded_judge_measures():
    names = [each.name for each in offered()]
    assert "emoji-occupations" in names and "winobias" not in names
