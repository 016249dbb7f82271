"""Pictures of the studio at two widths, light and dark: python docs/studio/screenshots.py FOLDER."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from directrix.studio.serve import serve

PATIENCE = 300_000  # milliseconds


def steered(page: Page) -> None:
    box = page.get_by_label("number input for woman")
    box.fill("1")
    box.press("Enter")
    page.wait_for_function("document.querySelector('#dx-images').innerText.includes('woman +1')")


def policed(page: Page) -> None:
    page.get_by_role("tab", name="Fair and safe").click()
    page.click("#dx-compare")
    page.wait_for_selector("#dx-policy-images img")


def main(folder: Path) -> None:
    served = serve(port=0)
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, act in (("steer", steered), ("policy", policed)):
            for scheme in ("light", "dark"):
                for width, height in ((1440, 1000), (390, 844)):
                    context = browser.new_context(viewport={"width": width, "height": height})
                    page = context.new_page()
                    page.set_default_timeout(PATIENCE)
                    page.goto(f"{served.address}?__theme={scheme}")
                    page.wait_for_selector("#dx-draw")
                    act(page)
                    page.mouse.move(0, 0)
                    page.wait_for_timeout(500)
                    # On a phone the images are below the controls.
                    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=width < 1000)
                    context.close()
        browser.close()
    served.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
