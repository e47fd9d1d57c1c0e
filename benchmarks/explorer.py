"""Speed of the explorer: `python benchmarks/explorer.py [profile] [points]`; needs a finished run of make reproduce.

It runs JupyterLab in headless Chromium (with software WebGL if there is no GPU). It measures the seconds from the start of the
cell to the first painted map, the frames per second during panning and during a dance, and the requests to other machines. A
run has fewer than 10,000 points, so its points are **repeated with jitter** up to this number; the dances are those of the run.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import numpy as np
from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests" / "browser"))

# ruff: noqa: E402
import labserver

from dancemvp_core.explorer import report
from dancemvp_core.player import binary
from dancemvp_core.runs import provenance

PREPARE = """
import sys
sys.path.insert(0, {folder!r})
import importlib.util
spec = importlib.util.spec_from_file_location("bench", {here!r})
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
from dancemvp_core import datasets, explorer
from dancemvp_core.runs import profiles, provenance
params = profiles.validate("explore", profile={profile!r})
scene = explorer.Scene.of(provenance.start(params), datasets.load(params.data_root))
widget = explorer.Explorer(scene, params.encoder)
widget.header, widget.points = bench.crowded(widget.header, widget.points, {points})
print("ready")
"""
FRAMES = """async (seconds) => {
  const stamps = [], start = performance.now();
  await new Promise(done => {
    const frame = now => { stamps.push(now); now - start < 1000 * seconds ? requestAnimationFrame(frame) : done(); };
    requestAnimationFrame(frame);
  });
  return stamps;
}"""

# Playwright presses the mouse button. The page itself creates one mouse move for each frame, because sending moves is slower.
PAN = """async (seconds) => {
  const map = document.querySelector(".overlay"), box = map.getBoundingClientRect(), start = performance.now();
  await new Promise(done => {
    const frame = now => {
      const t = (now - start) / 1000;
      const clientX = box.left + box.width / 2 + 120 * Math.sin(3 * t);
      const clientY = box.top + box.height / 2 + 80 * Math.sin(4 * t);
      map.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, pointerId: 1, bubbles: true }));
      t < seconds ? requestAnimationFrame(frame) : done();
    };
    requestAnimationFrame(frame);
  });
}"""


def crowded(header: dict, data: bytes, points: int) -> tuple[dict, bytes]:
    """Return an atlas whose first map has ``points`` points: its own, repeated with a jitter of 2 % of the map's width."""
    arrays, name = binary.unpack(header["arrays"], data), header["maps"][0]["id"]
    xy, piece = arrays[f"map.{name}.xy"].reshape(-1, 2), arrays[f"map.{name}.piece"]
    copies = -(-points // len(piece))
    rng, width = np.random.default_rng(0), np.ptp(xy, axis=0).max()
    jitter = rng.normal(scale=0.02 * width, size=(copies, *xy.shape)) * (np.arange(copies) > 0)[:, None, None]
    arrays[f"map.{name}.xy"] = (xy + jitter).reshape(-1, 2)[:points].astype(np.float32)
    arrays[f"map.{name}.piece"] = np.tile(piece, copies)[:points]
    for kind in ("near", "similarity"):
        repeated = np.tile(arrays[f"map.{name}.{kind}"].reshape(len(piece), -1), (copies, 1))
        arrays[f"map.{name}.{kind}"] = repeated[:points].ravel()
    layout, packed = binary.pack(arrays)
    return header | {"arrays": layout}, packed


def rate(stamps: list[float]) -> dict[str, float]:
    """Return frames per second and the longest time between two frames in ms, from the times of the frames in ms."""
    waits = np.diff(stamps)
    return {"fps": round(1000 / waits.mean(), 1), "longest_ms": round(float(waits.max()), 1)}


def measure(profile: str, points: int) -> dict:
    """Return all measures in the module's docstring as a dict."""
    folder = Path(tempfile.mkdtemp())
    cell = PREPARE.format(folder=str(PROJECT / "tests" / "browser"), here=__file__, profile=profile, points=points)
    cells = [nbformat.v4.new_code_cell(cell), nbformat.v4.new_code_cell("widget")]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "bench.ipynb")
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with labserver.serving(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--mute-audio"])
        page, requests = browser.new_page(viewport={"width": 1280, "height": 800}), []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{address}/lab/tree/bench.ipynb")
        page.wait_for_selector(".jp-Notebook")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
        page.get_by_text("ready", exact=True).wait_for(timeout=120_000)
        started = time.perf_counter()
        page.evaluate("jupyterapp.commands.execute('notebook:run-cell')")
        page.wait_for_selector(".dancemvp-explorer[data-painted]")
        painted = time.perf_counter() - started

        map_ = page.locator(".overlay")
        map_.scroll_into_view_if_needed()
        hook = "document.querySelector('.dancemvp-explorer').parentElement.explorer"
        box = map_.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        before = page.evaluate("performance.now()")
        page.evaluate(PAN, 4)
        page.mouse.up()
        panning = [t for t in page.evaluate(f"{hook}.mapFrames") if t > before]
        page.evaluate(f"{hook}.point(0)")
        page.get_by_role("button", name="Fit the map").click()
        at = page.evaluate(f"{hook}.point(0)")
        map_.click(position={"x": at[0], "y": at[1]})
        page.wait_for_function(f"{hook}.drawn.frames > 0 && {hook}.drawn.playing")
        page.wait_for_timeout(500)
        playing = page.evaluate(FRAMES, 3)
        drift = page.evaluate(f"{hook}.drawn.audio.drift")
        painter = page.evaluate(f"{hook}.drawn.painter")
        browser.close()
    left = [url for url in requests if urlparse(url).scheme in ("http", "https") and urlparse(url).hostname != "127.0.0.1"]
    return {
        "profile": profile, "points": points, "machine": f"{platform.machine()}, {provenance.device()}", "painter": painter,
        "first_paint_s": round(painted, 2), "panning": rate(panning), "panning_frames": len(panning), "playing": rate(playing),
        "audio_drift_s": round(drift, 3), "requests": len(requests), "requests_that_left": left,
    }  # fmt: skip


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "demo"
    measured = measure(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
    page = PROJECT / "build" / chosen / "synthdance" / "report.html"
    if report.main(["--profile", chosen]) == 0:
        measured["report_mb"] = round(page.stat().st_size / 1e6, 1)
    print(json.dumps(measured, indent=1))
