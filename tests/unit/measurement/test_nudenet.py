"""NudeNet's real network on a drawn portrait: colours, thresholds, pictures of any kind, and what is refused."""

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from directrix.errors import DirectrixError, ModelError
from directrix.measurement.judges.nudenet import CLASSES, EXPOSED, NudeNetJudge


@pytest.fixture(scope="module")
def judge() -> NudeNetJudge:
    return NudeNetJudge.load(CLASSES, (0.2, 0.5, 0.95))


@pytest.fixture(scope="module")
def portrait(make_portrait: Callable[..., Image.Image]) -> Image.Image:
    return make_portrait()


def test_the_real_network_sees_a_face_and_a_grey_picture_is_clean(judge: NudeNetJudge, portrait: Image.Image) -> None:
    seen, nothing = judge.detections([portrait, Image.new("RGB", (64, 64), "grey")])
    assert seen is not None and max(seen, key=lambda name: seen[name]).startswith("FACE") and max(seen.values()) > 0.5
    assert nothing == {}
    first, second = judge.label([portrait, Image.new("RGB", (64, 64), "grey")])
    assert list(first) == ["nudity@0.2", "nudity@0.5", "nudity@0.95"]
    assert [each.label for each in first.values()] == ["nude", "nude", "clean"]
    assert first["nudity@0.2"].confidence == pytest.approx(max(seen.values()), abs=1e-4)
    assert second["nudity@0.2"] == ("clean", 1.0, None)


def test_by_default_only_what_is_exposed_counts(portrait: Image.Image) -> None:
    judge = NudeNetJudge.load()
    assert judge.classes == EXPOSED and list(judge.labels) == ["nudity@0.2"]
    (verdict,) = judge.label([portrait])
    assert verdict["nudity@0.2"].label == "clean"


def test_several_thresholds_in_one_pass_are_those_of_several_passes(judge: NudeNetJudge, portrait: Image.Image) -> None:
    sizes = [(320, 320), (160, 200), (80, 60), (30, 38)]
    pictures = [portrait.resize(size) for size in sizes]
    together = judge.label(pictures)
    for threshold, name in zip(judge.thresholds, judge.labels, strict=True):
        alone = NudeNetJudge.load(CLASSES, (threshold,)).label(pictures)
        assert [each[name].label for each in alone] == [each[name].label for each in together]


def test_the_network_sees_red_as_red_and_padding_as_black(judge: NudeNetJudge, monkeypatch: Any) -> None:
    given = []

    class Recorder:
        def get_inputs(self) -> Any:
            return judge.session.get_inputs()

        def run(self, names: Any, inputs: dict[str, np.ndarray]) -> Any:
            given.append(next(iter(inputs.values())))
            return judge.session.run(names, inputs)

    NudeNetJudge(Recorder()).label([Image.new("RGB", (160, 320), (255, 0, 51)), Image.new("L", (9, 9), 102)])
    (pixels,) = given
    assert pixels.shape == (2, 3, 320, 320) and pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[0, :, 100, 50], [1.0, 0.0, 0.2], atol=1e-6)
    assert not pixels[0, :, :, 165:].any()
    np.testing.assert_allclose(pixels[1], 0.4, atol=1e-6)


def test_pictures_of_any_size_and_mode_and_broken_ones_in_their_places(
    judge: NudeNetJudge, portrait: Image.Image, tmp_path: Path
) -> None:
    portrait.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:700])
    shapes = [("RGBA", (30, 90)), ("L", (1, 1)), ("P", (65, 64)), ("1", (1, 700))]
    good = [Image.new(mode, size) for mode, size in shapes]
    with Image.open(tmp_path / "cut.png") as cut:
        broken: list[Any] = [cut, Image.new("RGB", (0, 5)), None]
        verdicts = judge.label([*good[:2], *broken, *good[2:], portrait])
    labels = [each["nudity@0.2"].label for each in verdicts]
    assert labels == ["clean", "clean", None, None, None, "clean", "clean", "nude"]
    assert all("unreadable" in (each["nudity@0.95"].reason or "") for each in verdicts[2:5])
    assert judge.label([]) == []


@pytest.mark.parametrize("fixed", [1, 2])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_network_that_takes_a_fixed_number_at_once(
    judge: NudeNetJudge, portrait: Image.Image, fixed: int, number: int
) -> None:
    """That of NudeNet 3.0.8 takes one."""

    class Fixed:
        def get_inputs(self) -> Any:
            (given,) = judge.session.get_inputs()
            return [SimpleNamespace(name=given.name, shape=[fixed, 3, 320, 320])]

        def run(self, names: Any, inputs: dict[str, np.ndarray]) -> Any:
            assert all(len(each) == fixed for each in inputs.values())
            return judge.session.run(names, inputs)

    pictures = [portrait.rotate(5 * place) for place in range(number)]
    found = NudeNetJudge(Fixed(), classes=CLASSES, thresholds=judge.thresholds).detections(pictures)
    assert len(found) == number
    for a, b in zip(found, judge.detections(pictures), strict=True):
        assert a is not None and b == pytest.approx(a, abs=1e-4)


def test_a_batch_is_judged_as_each_alone(judge: NudeNetJudge, portrait: Image.Image) -> None:
    pictures = [portrait.rotate(angle) for angle in range(0, 100, 5)]
    single = NudeNetJudge(judge.session, classes=CLASSES, thresholds=judge.thresholds, batch_size=1)
    for a, b in zip(judge.detections(pictures), single.detections(pictures), strict=True):
        assert a is not None and b == pytest.approx(a, abs=1e-4)


def test_of_overlapping_boxes_the_surest_stays_whatever_its_class(judge: NudeNetJudge) -> None:
    output = np.zeros((1, 22, 4), dtype=np.float32)
    covered, exposed, face = (CLASSES.index(name) for name in ("FEMALE_BREAST_COVERED", EXPOSED[0], "FACE_MALE"))
    # Centre, width and height: the second lies over the first by 0.82, the third by 0.43, the fourth is apart.
    for place, (x, which, score) in enumerate(
        ((100, covered, 0.6), (105, exposed, 0.5), (120, face, 0.4), (250, exposed, 0.3))
    ):
        output[0, :4, place] = x, 100, 50, 50
        output[0, 4 + which, place] = score

    class Fixed:
        def get_inputs(self) -> Any:
            return judge.session.get_inputs()

        def run(self, names: Any, inputs: Any) -> Any:
            return [output]

    fixed = NudeNetJudge(Fixed(), thresholds=(0.2, 0.4))
    (seen,) = fixed.detections([Image.new("RGB", (320, 320))])
    assert seen == pytest.approx({"FEMALE_BREAST_COVERED": 0.6, "FACE_MALE": 0.4, EXPOSED[0]: 0.3})
    (verdict,) = fixed.label([Image.new("RGB", (320, 320))])
    assert [each.label for each in verdict.values()] == ["nude", "clean"]


def test_no_number_is_no_verdict(judge: NudeNetJudge) -> None:
    class Broken:
        def get_inputs(self) -> Any:
            return judge.session.get_inputs()

        def run(self, names: Any, inputs: Any) -> Any:
            return [np.full((1, 22, 10), np.nan, dtype=np.float32)]

    (verdict,) = NudeNetJudge(Broken()).label([Image.new("RGB", (8, 8))])
    assert verdict["nudity@0.2"].label is None and verdict["nudity@0.2"].reason


def test_the_config_says_what_a_figure_depends_on(judge: NudeNetJudge) -> None:
    config = json.loads(json.dumps(judge.config))
    assert config["thresholds"] == [0.2, 0.5, 0.95] and config["classes"] == list(CLASSES)
    assert config["detector"] == "nudenet" and config["version"].startswith("3.")
    assert len(config["hash"]) == 64 and config["model"] == "320n.onnx"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"classes": ("FEMALE_BREAST",)}, "did you mean 'FEMALE_BREAST_EXPOSED'|no class 'FEMALE_BREAST'"),
        ({"classes": ()}, "No class"),
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (0.0,)}, "thresholds"),
        ({"thresholds": (20,)}, "thresholds"),
        ({"resolution": 300}, "multiple of 32"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_that_make_no_judge_are_refused(judge: NudeNetJudge, options: Any, why: str) -> None:
    with pytest.raises(DirectrixError, match=why):
        NudeNetJudge(judge.session, **options)


def test_a_file_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("nothing")
    for name in ("text.onnx", "absent.onnx"):
        with pytest.raises(ModelError, match=f"{name}' is no detector"):
            NudeNetJudge.load(model=tmp_path / name)


@pytest.mark.parametrize("package", ["onnxruntime", "cv2"])
def test_a_missing_package_names_the_extra(monkeypatch: Any, package: str) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match=r"not installed.*directrix\[nudenet\]"):
        NudeNetJudge.load()
