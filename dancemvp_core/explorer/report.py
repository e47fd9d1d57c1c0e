"""`make report`: a run on one static page that opens from disk: claims, tables, figures, and the explorer with some clips.

What the run has not made yet is named on the page. Nothing in the page is fetched: pictures, clips and music are in it.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import sys
from pathlib import Path

import pandas as pd

from dancemvp_core import datasets, files
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.explorer.scene import Scene
from dancemvp_core.explorer.widget import SCRIPT, STYLE
from dancemvp_core.paper import tables
from dancemvp_core.pretraining import methods
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.provenance import Paths, Run

LARGEST_BYTES = 25 * 10**6
POINTS_A_MAP = (160, 80, 40, 20)  # as many of each map as the page has room for
ENCODER = f"{methods.METHODS['ours'].pretraining}-seed0"

TABLES = {
    "claims.csv": "Claims: what stands and what does not",
    "table1_datasets.csv": "Table 1: data sets",
    "table2_baselines.csv": "Table 2: baselines",
    "table3_ablation.csv": "Table 3: ablation",
    "table4_prompting.csv": "Table 4: prompting and fine-tuning",
    "extra_unseen_dancers.csv": "Level or dancer? (not in the paper)",
    "difficulty_card.csv": "How hard the data are: floors and ceiling",
    "leak_audit.csv": "Leak audit",
    "fig5_separation.csv": "Fig. 5 in numbers",
}
FIGURES = (
    "fig3_primitives", "fig4_beat_alignment", "fig5a_tsne_pretrain", "fig5b_tsne_unseen", "fig5c_tsne_aistpp",
    "fig6_progression", "fig7_prompt_vs_finetune", "extra_augmentation", "extra_confusion",
)  # fmt: skip


def write(paths: Paths, scene: Scene | None, synthetic: bool, why_not: str = "") -> tuple[Path, list[str]]:
    """Write the page to build/<profile>/<dataset>/report.html, at most 25 MB: (the file, what is missing from it).

    ``scene`` None leaves the explorer out, and ``why_not`` says why. DataError where the pictures and tables alone are
    larger than the limit.
    """
    missing = []
    sections = [_table(paths.results / name, title, missing) for name, title in TABLES.items()]
    sections += [_figure(paths.figures / f"{name}.png", missing) for name in FIGURES]
    if scene is None:
        missing.append(f"the explorer: {why_not}")
    where = f"{paths.dataset}{' (synthetic)' if synthetic else ''}, profile {paths.profile}"
    for points in POINTS_A_MAP if scene else (0,):
        explorer = _explorer(scene, points) if scene else ""
        page = _page(where, synthetic, explorer, [s for s in sections if s], missing, paths)
        if len(page.encode()) <= LARGEST_BYTES:
            file = paths.build / "report.html"
            files.write_text(file, page)
            return file, missing
    raise DataError(f"{paths.results}: the report has {len(page.encode()) / 1e6:.0f} MB, expected at most 25 MB")


def _explorer(scene: Scene, points: int) -> str:
    header, data = scene.atlas(ENCODER, points)
    header["encoders"] = [ENCODER]
    clips, audio = {}, {}
    rows = scene.clips_of(header, data)
    for sequence, primitive in rows:
        about, arrays = scene.clip(sequence, primitive)
        clips[f"{sequence}-{primitive}"] = [about, _base64(arrays)]
        if about["audio"] and about["audio"] not in audio:
            audio[about["audio"]] = _base64(scene.audio(about["audio"]))
    page = {"header": header, "points": _base64(data), "clips": clips, "audio": audio}
    # "</script>" in a name would end the element, wherever it stands.
    text = json.dumps(page, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    script = SCRIPT.read_text(encoding="utf-8")
    return f"""<h2>Explorer: {len(clips)} pieces with their dances and music</h2>
<div id="explorer"></div>
<script type="application/json" id="explorer-data">{text}</script>
<script type="module">
{script}
mount(document.getElementById("explorer"), embedded(JSON.parse(document.getElementById("explorer-data").textContent)));
</script>"""


def _table(file: Path, title: str, missing: list[str]) -> str:
    if not file.exists():
        missing.append(f"{title} ({file.name})")
        return ""
    table = pd.read_csv(file)
    if file.name == "claims.csv":
        styler = tables.verdict_page(table)
    elif {"task1_mean", "paper_task1"} <= set(table):
        styler = tables.styled(table)
    else:
        styler = tables.show(table.map(_cell))
    return f"<h2>{html.escape(title)}</h2>\n<div class='wide'>{styler.format(escape='html').to_html()}</div>"


def _cell(value) -> str:
    """A value as a reader sees it: three digits, whole numbers whole, nothing for what is unknown."""
    if isinstance(value, float) and not value.is_integer():
        return tables.number(value)
    return str(int(value)) if isinstance(value, float) else "" if pd.isna(value) else str(value)


def _figure(file: Path, missing: list[str]) -> str:
    if not file.exists():
        missing.append(f"figure {file.stem}")
        return ""
    sidecar = file.with_suffix(".prov.json")
    caption = json.loads(sidecar.read_text(encoding="utf-8")).get("caption", "") if sidecar.exists() else file.stem
    picture = _base64(file.read_bytes())
    told = html.escape(caption)
    image = f"<img alt='{told}' src='data:image/png;base64,{picture}'>"
    return f"<figure>{image}<figcaption>{told}</figcaption></figure>"


def _page(where: str, synthetic: bool, explorer: str, sections: list[str], missing: list[str], paths: Paths) -> str:
    made = provenance.environment()["git"]
    told = f"commit {made['commit'][:12]}{', with local changes' if made['dirty'] else ''}" if made["commit"] else "no commit"
    warning = (
        "<p class='warning'>All numbers, pictures and dances here are <b>synthetic</b>: they test the method and its measurement, "
        "and say nothing about real dancers. The paper's values stand in columns of their own.</p>"
        if synthetic
        else ""
    )
    absent = "".join(f"<li>{html.escape(item)}</li>" for item in missing)
    absent = f"<h2>Not made yet</h2><ul>{absent}</ul>" if missing else ""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>DanceMVP: {html.escape(where)}</title>
<style>
{STYLE.read_text(encoding="utf-8")}
{_PAGE_STYLE}
</style>
<body>
<main>
<h1>DanceMVP, reproduced: {html.escape(where)}</h1>
{warning}
{explorer}
{chr(10).join(sections)}
{absent}
<footer>Made by <code>make report PROFILE={html.escape(paths.profile)}</code> from {told}.</footer>
</main>
</body>
</html>
"""


_PAGE_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1d2126; --rule: #d9dce0; --soft: #5e666f; --warn: #fdf3c7; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0e1012; --ink: #e8eaed; --rule: #363c43; --soft: #a3abb4; --warn: #3a3212; }
}
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 4px 16px 40px; }
h1 { margin: 0.2em 0; font-size: 20px; } h2 { margin: 1.6em 0 0.5em; font-size: 17px; }
.warning + h2 { margin-top: 0; }
.warning { margin: 6px 0; padding: 4px 10px; border-radius: 4px; background: var(--warn); font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
figure { margin: 1.5em 0; } img { max-width: 100%; max-height: 80vh; background: #fff; }
figcaption, footer { color: var(--soft); font-size: 13px; }
"""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _scene(run: Run, dataset) -> tuple[Scene | None, str]:
    """What the explorer shows, or None and why there is none."""
    try:
        scene = Scene.of(run, dataset)
    except DataError as fault:
        return None, str(fault)
    if ENCODER not in scene.encoders():
        return None, f"no finished pre-training {ENCODER}"
    return scene, ""


def main(arguments: list[str] | None = None) -> int:
    """Make the report of a run and print where it is; 2 for an argument or data that cannot be used."""
    parser = argparse.ArgumentParser(description="One static page of a run.")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--data", default="")
    parser.add_argument("--root", default="")
    options = parser.parse_args(arguments)
    try:
        profile = profiles.load(options.profile)
        params = profiles.validate("explore", profile=profile.name, data=options.data, root=options.root)
        run, dataset = provenance.start(params), datasets.load(params.data_root)
        scene, why_not = _scene(run, dataset)
        file, missing = write(run.paths, scene, dataset.synthetic, why_not)
    except (profiles.ParameterError, DataError) as fault:
        print(f"report: {fault}", file=sys.stderr)
        return 2
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    if missing:
        print(f"Not made yet: {'; '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
