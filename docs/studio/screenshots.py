"""Pictures of the studio at two widths, light and dark: python docs/studio/screenshots.py FOLDER.

Names of tabs after the folder, such as steer or audit, make the pictures of these alone.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from directrix.studio.serve import serve

PATIENCE = 900_000  # milliseconds


def steered(page: Page) -> None:
    box = page.get_by_label("number input for woman")
    box.fill("1")
    box.press("Enter")
    page.wait_for_function("document.querySelector('#dx-images').innerText.includes('woman +1')")


def discovered(page: Page) -> None:
    page.get_by_role("tab", name="Discover").click()
    page.click("#dx-find")
    page.wait_for_selector("#dx-find-status:has-text('Done')")


def policed(page: Page) -> None:
    page.get_by_role("tab", name="Fair and safe").click()
    page.get_by_label("Prompts, one a line").fill("a judge\na nurse of any skin tone, without a cigarette")
    page.locator("#dx-enhance input").check()
    page.click("#dx-compare")
    page.wait_for_selector("#dx-policy-status:has-text('Done')")


def audited(page: Page) -> None:
    page.get_by_role("tab", name="Audit").click()
    page.click("#dx-run")
    page.wait_for_selector("#dx-audit-images img")


TABS = {"steer": steered, "discover": discovered, "policy": policed, "audit": audited}
# What a reload brings back, without computing it again.
AGAIN = {
    "steer": ("Steer", "#dx-images"),
    "discover": ("Discover", "#dx-found"),
    "policy": ("Fair and safe", "#dx-policy-images"),
    "audit": ("Audit", "#dx-audit-images"),
}


def again(page: Page, name: str) -> None:
    tab, images = AGAIN[name]
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector(f"{images} img")


def main(folder: Path, tabs: list[str]) -> None:
    with TemporaryDirectory() as own, sync_playwright() as playwright:
        served = serve(port=0, folder=Path(own))
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name in tabs:
            context = browser.new_context(viewport={"width": 1440, "height": 1000})
            for scheme in ("light", "dark"):
                for width, height in ((1440, 1000), (390, 844)):
                    page = context.new_page()
                    page.set_viewport_size({"width": width, "height": height})
                    page.set_default_timeout(PATIENCE)
                    page.goto(f"{served.address}?__theme={scheme}")
                    page.wait_for_selector("#dx-draw")
                    # The first page computes; the others of this browser remember its job.
                    TABS[name](page) if (scheme, width) == ("light", 1440) else again(page, name)
                    page.mouse.move(0, 0)
                    page.wait_for_timeout(1000)
                    # On a phone the images are below the controls.
                    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=width < 1000)
                    page.close()
            context.close()
        browser.close()
        served.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(TABS))
