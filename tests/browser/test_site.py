"""The site of `make site`, as it lies on the disk: no link is broken, nothing is fetched, and a telephone can show every page."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import PROJECT

TELEPHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the site that `make test` has built."""
    folder = PROJECT / "build" / "site"
    if not (folder / "index.html").exists():
        pytest.skip("no site in this checkout: make site builds it")
    return folder


def broken(pages: dict[Path, str]) -> list[str]:
    """Every link or picture of the pages that leads to no file, or to no place in its page; other sites are not asked."""
    anchors = {path: set(map(unescape, re.findall(r'\bid="([^"]+)"', text))) for path, text in pages.items()}
    faults = []
    for path, text in pages.items():
        for link in map(unescape, set(re.findall(r'\b(?:href|src)="([^"]*)"', text))):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            if not place.is_file() or (fragment and place in pages and fragment not in anchors[place]):
                faults.append(f"{path.name}: {link}")
    return sorted(faults)


def test_a_broken_link_is_seen(tmp_path):
    pages = {tmp_path / "a.html": '<p id="here"><a href="#here">.</a><a href="b.html#there">.</a><img src="c.png">'}
    pages[tmp_path / "b.html"] = '<a href="a.html#here">.</a><a href="https://example.org/x">.</a>'
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    assert broken(pages) == ["a.html: b.html#there", "a.html: c.png"]


def test_no_link_is_broken(site):
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if "reports" not in path.parts}
    assert len(pages) > 40
    assert broken(pages) == []


def test_a_place_in_the_paper_leads_to_its_function(site):
    reading = (site / "dancemvp_core" / "README.html").read_text(encoding="utf-8")
    assert 'href="../api/models.html#dancemvp_core.models.losses.info_nce"' in reading


def test_every_page_opens_from_the_disk_and_fits_a_telephone(site, new_page):
    page = new_page()
    page.set_viewport_size(TELEPHONE)
    for path in sorted(site.rglob("*.html")):
        if not {"reports"} & set(path.parts):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"], path
            assert page.watch.errors == [] and page.watch.foreign == [], path


def test_a_wide_table_scrolls_in_its_box(site, new_page):
    page = new_page()
    page.set_viewport_size(TELEPHONE)
    for name, box in (("results/README.html", ".table-wrapper"), ("notebooks/05_table2_baselines.html", ".text_html")):
        page.goto((site / name).as_uri())
        widest = "(a, b) => a.scrollWidth > b.scrollWidth ? a : b"
        scrolled = f"(boxes) => {{ const box = boxes.reduce({widest}); box.scrollLeft = 9999; return box.scrollLeft; }}"
        assert page.locator(box).evaluate_all(scrolled) > 100
