"""Pictures of the live pages for the READMEs, from a finished run: `python workflow/explorer_pictures.py [profile]`.

It writes three pictures of 1280 x 800 pixels to figures/explorer/: the explorer in JupyterLab (light) and in the static page
(dark), and the page on the example's assessment, which needs no run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Page, sync_playwright

from dancemvp_core import files
from dancemvp_core.assess import command, shipped
from dancemvp_core.explorer import report
from dancemvp_core.runs import profiles, provenance

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests" / "browser"))

import labserver  # noqa: E402

LARGEST_BYTES = 400_000
HOOK = "document.querySelector('.dancemvp-explorer').parentElement.explorer"


def picture(page: Page, name: str) -> None:
    """Write a picture of the page. Raises ValueError if it has more than 400 kB."""
    file = PROJECT / "figures" / "explorer" / f"{name}.png"
    with files.replacing(file) as temporary:
        page.screenshot(path=temporary)
    if file.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"{file}: {file.stat().st_size} bytes, expected at most {LARGEST_BYTES}")
    print(f"{file.relative_to(PROJECT)}: {file.stat().st_size / 1e3:.0f} kB")


def dance(page: Page, point: int, colour: str) -> None:
    """Colour the map, select a point, and play its nearest neighbour beside it."""
    page.wait_for_selector(".dancemvp-explorer[data-painted]")
    page.locator("select[aria-label='colour by']").select_option(label=colour)
    x, y = page.evaluate(f"{HOOK}.point({point})")
    page.locator(".overlay").click(position={"x": x, "y": y})
    page.locator(".card button").first.click()
    page.wait_for_timeout(2600)


def assessment(browser: Browser, folder: Path) -> None:
    """Assess the example that comes with the package, and write a picture of its page."""
    known = shipped.example()
    command.assess([known["motion"]], known["music"], folder, fps=known["fps"])
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((folder / "report.html").as_uri())
    page.wait_for_timeout(2600)
    picture(page, "assessment")


def main(profile: str) -> None:
    """Write all pictures."""
    folder = Path(tempfile.mkdtemp())
    notebook = nbformat.read(PROJECT / "notebooks" / "explore.ipynb", 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('profile: str = "smoke"', f'profile: str = "{profile}"')
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, folder / "explore.ipynb")
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    if report.main(["--profile", profile]):
        raise SystemExit(2)
    with labserver.serving(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--mute-audio"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(f"{address}/lab/tree/explore.ipynb")
        page.wait_for_selector(".jp-Notebook")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.keyboard.press("Control+b")
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_selector(".dancemvp-explorer[data-painted]")
        page.wait_for_timeout(1000)
        page.locator(".dancemvp-explorer .note").scroll_into_view_if_needed()
        dance(page, 700, "genre")
        picture(page, "jupyterlab")

        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
        page.set_default_timeout(120_000)
        page.goto((provenance.Paths(profile, profiles.SYNTHDANCE, PROJECT).build / "report.html").as_uri())
        dance(page, 40, "level")
        page.locator("button[title^='Lasso']").click()
        box = page.locator(".overlay").bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 60)
        page.mouse.down()
        for x, y in ((0.5, 0.12), (0.55, 0.6), (0.05, 0.6)):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        page.mouse.up()
        page.locator(".play").click()
        page.wait_for_timeout(300)
        picture(page, "report")
        assessment(browser, folder / "assessment")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo")
