"""A headless Chromium, a JupyterLab server on the notebooks, and the static page: of the smoke run, in this checkout."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import labserver
import nbformat
import pytest

from dancemvp_core.explorer import report
from dancemvp_core.runs import profiles, provenance

PROJECT = Path(__file__).resolve().parents[2]
RUN = provenance.Paths("smoke", profiles.SYNTHDANCE, PROJECT)
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium():
    """The browser, headless; a root user's needs no sandbox."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        pytest.skip("no Chromium on this machine: make test-browser installs it where it may")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--mute-audio"])
        yield browser
        browser.close()


class Watch:
    """What a page said and asked for: console errors, and the addresses that are neither local nor in the page."""

    def __init__(self, page):
        self.errors, self.requests = [], []
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda fault: self.errors.append(str(fault)))
        page.on("request", lambda r: self.requests.append(r.url))
        page.on("websocket", lambda s: self.requests.append(s.url))

    @property
    def foreign(self) -> list[str]:
        addresses = [urlparse(url) for url in self.requests]
        return [a.geturl()[:120] for a in addresses if a.scheme not in ("file", "data", "blob") and a.hostname != "127.0.0.1"]


@pytest.fixture(scope="session")
def new_page(chromium):
    """Makes a page of 1280 x 800 in a profile of its own; ``page.watch`` is its ``Watch``."""

    def make(color_scheme: str = "light"):
        page = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme=color_scheme).new_page()
        page.watch = Watch(page)
        page.set_default_timeout(60_000)
        return page

    return make


@pytest.fixture(scope="session")
def smoke_run() -> provenance.Paths:
    """The checkout's smoke run, as far as the explorer needs it."""
    if not RUN.record("04_fig5_embeddings").exists():
        pytest.skip("no smoke run in this checkout: make test-browser makes it")
    return RUN


@pytest.fixture(scope="session")
def project(smoke_run, tmp_path_factory) -> Path:
    """A project folder that borrows the smoke run and keeps what is written for itself."""
    root = tmp_path_factory.mktemp("project")
    build = root / "build" / "smoke" / profiles.SYNTHDANCE
    build.mkdir(parents=True)
    for name in ("pieces", "encoders", "outcomes"):
        if (smoke_run.build / name).exists():
            (build / name).symlink_to(smoke_run.build / name)
    for name in ("data", "music"):
        (root / "build" / name).symlink_to(PROJECT / "build" / name)
    shutil.copytree(smoke_run.results, root / "results" / "smoke" / profiles.SYNTHDANCE)
    shutil.copytree(smoke_run.figures, root / "figures" / "smoke" / profiles.SYNTHDANCE)
    return root


@pytest.fixture(scope="session")
def report_page(project, smoke_run) -> Path:
    """The static page of the smoke run."""
    assert report.main(["--profile", "smoke", "--root", str(project)]) == 0
    return provenance.Paths("smoke", profiles.SYNTHDANCE, project).build / "report.html"


@pytest.fixture(scope="session")
def lab(project):
    """Address of explore.ipynb, its outputs taken away, in a JupyterLab server of its own."""
    notebook = nbformat.read(PROJECT / "notebooks" / "explore.ipynb", 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace('root: str = ""', f'root: str = "{project}"')
    (project / "notebooks").mkdir()
    nbformat.write(notebook, project / "notebooks" / "explore.ipynb")
    with labserver.serving(project) as address:
        yield f"{address}/lab/tree/notebooks/explore.ipynb"
