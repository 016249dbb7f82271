"""What a visitor of the page sees, in a headless Chromium: skipped where there is none, or no gradio."""

import json
import os
import re
import shutil
from importlib.util import find_spec

import pytest
from PIL import Image

# What Gradio and pandas warn of each other is theirs to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    # Importing it takes seconds, of each process that collects tests.
    pytest.mark.skipif(find_spec("gradio") is None, reason="no gradio"),
]
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SLOW = 300_000  # milliseconds that a busy machine may need


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as found:
        try:
            opened = found.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no chromium: {error}")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tiny_studio):
    """The address of the studio with the tiny pipeline and two directions."""
    return tiny_studio.address


@pytest.fixture
def page(browser, served):
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(SLOW)
    sync_api.expect.set_options(timeout=SLOW)
    opened.requests = []
    opened.on("request", lambda each: opened.requests.append(each.url))
    opened.goto(served)
    opened.wait_for_selector("#dx-draw")
    yield opened
    context.close()


def _draw(page, strength, name="woman"):
    box = page.get_by_label(f"number input for {name}")
    box.fill(strength)
    box.press("Enter")
    page.wait_for_function(f"document.querySelector('#dx-images').innerText.includes('{name} +{strength}')")


def test_a_slider_steers_and_a_reload_remembers(page, served, tmp_path):
    _draw(page, "1")
    sources = [each.get_attribute("src") for each in page.query_selector_all("#dx-images img")]
    assert len(sources) == 8 and len(set(sources)) == 8
    assert all(each.get_attribute("alt") for each in page.query_selector_all("img"))
    with page.expect_download() as waited:
        page.click("#dx-png")
    waited.value.save_as(tmp_path / "found.png")
    assert json.loads(Image.open(tmp_path / "found.png").text["directrix"])["strengths"] == {"woman": 1.0}
    page.reload()
    page.wait_for_selector("#dx-images img")
    assert [each.get_attribute("src") for each in page.query_selector_all("#dx-images img")] == sources
    sync_api.expect(page.get_by_label("number input for woman")).to_have_value("1")
    assert all(each.startswith((served, "data:", "blob:")) for each in page.requests)
    assert os.getcwd() not in page.content()


def test_a_slider_has_the_measured_range_with_0_in_it_and_a_mark_where_the_effect_saturates(page):
    def slider(place):
        return page.locator(f"#dx-slider-{place} input[type=range]")

    # What was measured of the first one: from -2/3 to 1, and at 1/3 as much as at 1.
    for name, value in {"min": "-0.65", "max": "1"}.items():
        sync_api.expect(slider(0)).to_have_attribute(name, value)
    sync_api.expect(slider(0)).to_have_value("0")
    sync_api.expect(slider(0)).to_have_css("background-image", re.compile("gradient"))
    at = slider(0).evaluate("each => getComputedStyle(each).getPropertyValue('--saturates')")
    assert float(at) == pytest.approx((1 / 3 + 0.65) / 1.65, abs=1e-3)
    sync_api.expect(page.locator("#dx-slider-0")).to_contain_text("saturates at 0.333")
    sync_api.expect(slider(1)).to_have_css("background-image", "none")


TABS = {"Steer": "#dx-draw", "Discover": "#dx-find", "Fair and safe": "#dx-compare", "Audit": "#dx-run"}


def test_each_tab_opens_fits_a_phone_and_shows_no_path(page, served):
    page.set_viewport_size({"width": 390, "height": 844})
    for name, button in TABS.items():
        page.get_by_role("tab", name=name).click()
        page.locator(button).wait_for(state="visible")
        sync_api.expect(page.locator(".dx-status:visible")).to_have_text("Ready.")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert os.getcwd() not in page.content()
    assert all(each.startswith((served, "data:", "blob:")) for each in page.requests)


def _found(page):
    """Finds a direction called "red hat" in Discover."""
    page.get_by_role("tab", name="Discover").click()
    page.get_by_label("Name", exact=True).fill("red hat")
    page.get_by_label("With the concept").fill("a person with a red hat")
    page.click("#dx-find")
    page.wait_for_selector("#dx-find-status:has-text('Done')")


@pytest.mark.slow
def test_a_direction_is_found_saved_steered_with_and_deleted(page):
    _found(page)
    assert len(page.query_selector_all("#dx-found img[alt]")) == 8
    page.click("#dx-save")
    page.wait_for_selector("#dx-told:has-text('Saved')")
    with page.expect_download() as waited:
        page.click("#dx-file")
    assert waited.value.suggested_filename == "red hat.safetensors"
    page.get_by_role("tab", name="Steer").click()
    _draw(page, "0.5", "red hat")
    page.get_by_role("tab", name="Discover").click()
    page.click("#dx-delete")
    page.wait_for_selector("#dx-told:has-text('Deleted')")
    page.get_by_role("tab", name="Steer").click()
    page.get_by_label("number input for red hat").wait_for(state="hidden")


def _policed(page):
    """Compares prompts under even shares of genders."""
    page.get_by_role("tab", name="Fair and safe").click()
    page.get_by_label("Prompts, one a line").fill("a judge of any gender\na dog")
    page.wait_for_selector("#dx-reading mark")
    page.get_by_label("Images of each").fill("2")
    page.click("#dx-compare")
    page.wait_for_selector("#dx-policy-status:has-text('Done')")


@pytest.mark.slow
def test_prompts_are_compared_under_a_policy(page):
    _policed(page)
    texts = [each.inner_text() for each in page.query_selector_all("#dx-policy-images figcaption")]
    assert len(texts) == 4 and sum("unchanged, every bit" in each for each in texts) == 2


def _audited(page, folder):
    """Audits uploaded prompts."""
    (folder / "mine.txt").write_text("a judge\na nurse\n")
    page.get_by_role("tab", name="Audit").click()
    page.get_by_label("Benchmark").click()
    page.get_by_role("option", name="My own prompts").click()
    # A choice of the benchmark makes it visible, and a file given before that would be lost.
    page.locator("#dx-upload").wait_for()
    page.set_input_files("#dx-upload input[type=file]", folder / "mine.txt")
    # Its text says "mine.txt" only while it is on its way, "mine .txt" afterwards.
    page.wait_for_selector("#dx-upload [aria-label='mine.txt']")
    page.get_by_label("gender").last.check()
    page.click("#dx-run")


@pytest.mark.slow
def test_own_prompts_are_audited_and_the_page_is_handed_out(page, tmp_path):
    _audited(page, tmp_path)
    page.wait_for_selector("#dx-audit-images img")
    assert "Deviation ratio, gender" in page.inner_text("#dx-audit")
    assert len(page.query_selector_all("#dx-audit-images img[alt]")) == 8
    page.get_by_label("Judges disagree").check()
    page.wait_for_function("document.querySelectorAll('#dx-audit-images img').length < 8")
    with page.expect_download() as waited:
        page.click("#dx-audit-file")
    waited.value.save_as(tmp_path / "found.html")
    page.requests.clear()
    page.goto((tmp_path / "found.html").as_uri())
    assert "Deviation ratio" in page.inner_text("body")
    assert all(each.startswith(("file:", "data:")) for each in page.requests)
    # On paper what is folded up on the screen stands open, however dark the screen is.
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 680, "height": 1000})
    folded = page.locator("section details table").first
    assert folded.evaluate("each => each.checkVisibility({contentVisibilityAuto: true}) && each.offsetHeight > 0")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.slow
def test_a_reload_brings_back_the_job_of_each_tab_even_while_it_runs(page, tmp_path):
    _draw(page, "1")
    _found(page)
    _policed(page)
    _audited(page, tmp_path)
    expect = sync_api.expect
    page.wait_for_function("localStorage.getItem('directrix-studio-audit')")
    page.reload()
    for name, images in (
        ("Steer", "#dx-images"),
        ("Discover", "#dx-found"),
        ("Fair and safe", "#dx-policy-images"),
        ("Audit", "#dx-audit-images"),
    ):
        page.get_by_role("tab", name=name).click()
        page.wait_for_selector(f"{images} img")
        expect(page.locator(".dx-status:visible").last).to_contain_text("Done")
    # The forms say again what was asked for.
    expect(page.get_by_label("Benchmark")).to_have_value("My own prompts")
    expect(page.get_by_label("gender").last).to_be_checked()
    page.wait_for_selector("#dx-upload:has-text('prompts')")
    page.get_by_role("tab", name="Fair and safe").click()
    expect(page.get_by_label("Prompts, one a line")).to_have_value("a judge of any gender\na dog")
    expect(page.get_by_label("Images of each")).to_have_value("2")
    page.wait_for_selector("#dx-reading mark")
    page.get_by_role("tab", name="Discover").click()
    expect(page.get_by_label("With the concept")).to_have_value("a person with a red hat")
    # What was uploaded is there again, too.
    page.get_by_role("tab", name="Audit").click()
    page.click("#dx-run")
    page.wait_for_selector("#dx-audit:has-text(' prompts: 2 prompts')")


def _images(page):
    return [each.get_attribute("src") for each in page.query_selector_all("#dx-images img")]


def test_another_view_is_shown_after_a_strip_after_a_trace_and_after_a_reload(page):
    _draw(page, "1")
    pairs = _images(page)
    for button, shown in (("#dx-strip", "Strip"), ("#dx-where", "Where")):
        page.click(button)
        page.wait_for_selector(f"#dx-strip-images [aria-label^='{shown}']")
        page.get_by_label("Difference").check()
        page.wait_for_function("document.querySelector('#dx-images').innerText.includes('what changed')")
        page.get_by_label("Side by side").check()
        page.wait_for_function("document.querySelector('#dx-images').innerText.includes('unsteered, steered')")
    below = page.inner_html("#dx-strip-images section")
    page.reload()
    page.wait_for_selector("#dx-images img")
    page.wait_for_selector("#dx-strip-images img")
    assert (_images(page), page.inner_html("#dx-strip-images section")) == (pairs, below)
    page.get_by_label("Wipe").check()
    page.wait_for_selector("#dx-images .dx-wipe")


def test_a_view_that_is_chosen_while_images_are_drawn_is_shown(page):
    box = page.get_by_label("number input for woman")
    box.fill("0.4")
    box.press("Enter")
    page.get_by_label("Wipe").check()
    page.wait_for_selector("#dx-images .dx-wipe")
    assert "woman +0.4" in page.inner_text("#dx-images")


def test_a_prompt_that_is_missing_is_a_sentence(page):
    page.get_by_label("Prompt", exact=True).fill(" ")
    page.click("#dx-draw")
    page.wait_for_selector("#dx-status [role=alert]")
    assert "There is no prompt." in page.inner_text("#dx-status")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(page, scheme, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.goto(f"{page.url.split('?')[0]}?__theme={scheme}")
    page.wait_for_selector("#dx-draw")
    for act in (
        lambda: _draw(page, "0.5"),
        lambda: _found(page),
        lambda: _policed(page),
        lambda: (_audited(page, tmp_path), page.wait_for_selector("#dx-audit-images img")),
    ):
        page.set_viewport_size({"width": 1440, "height": 1000})
        act()
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)
            assert not [
                (each["id"], [node["html"][:200] for node in each["nodes"]])
                for each in axe.run(page).response["violations"]
                if each["impact"] in ("serious", "critical")
            ]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
