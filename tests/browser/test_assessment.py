"""The report of an assessment as a person uses it: the dance plays with its music, and beats are marked on the body."""

import json

import pytest

from dancemvp_core import cli


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of the example's report."""
    folder = tmp_path_factory.mktemp("assessment")
    assert cli.main(["example", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dance_plays_and_beats_are_marked(new_page, written, scheme):
    page = new_page(scheme)
    page.goto((written / "report.html").as_uri())
    rows = json.loads((written / "report.json").read_text(encoding="utf-8"))["recordings"][0]["timeline"]["eights"]
    beats = [beat for row in rows for beat in row]
    page.wait_for_function("document.querySelector('.dance').recording?.stage.places?.length === 21")
    assert page.locator(".danced .beat").count() == len(beats)
    hit = next(i for i, beat in enumerate(beats) if beat["verdict"] == "hit" and beat["time_s"] > 1)
    page.locator(".danced .beat").nth(hit).click()
    page.wait_for_function("document.querySelector('.dance').recording.state.playing")
    page.locator(".transport .play").click()
    assert not page.evaluate("document.querySelector('.dance').recording.state.playing")
    moment = beats[hit]["time_s"] + beats[hit]["offset_ms"] / 1000
    seek = "(t) => { const r = document.querySelector('.dance').recording; r.player.seek(t / r.state.clip.header.duration); }"
    page.evaluate(seek, max(moment, beats[hit]["time_s"]) + 0.1)
    page.wait_for_function("(i) => document.querySelectorAll('.danced .beat')[i].classList.contains('now')", arg=hit)
    marks = "(t) => document.querySelector('.dance').recording.marksAt(t).map((m) => [m.verdict, m.joint])"
    seen = page.evaluate(marks, moment + 0.1)
    assert any(verdict == "hit" and joint >= 0 for verdict, joint in seen)
    assert page.evaluate(marks, max(b["time_s"] for b in beats) + 9) == []
    assert page.watch.errors == [] and page.watch.foreign == []


def test_the_page_is_readable_on_a_telephone(new_page, written):
    page = new_page()
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto((written / "report.html").as_uri())
    page.wait_for_function("document.querySelector('.dance').recording?.stage.places?.length === 21")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".dancer").first.bounding_box()["width"] > 250
