"""`make report`: a run on one static page that opens from disk: claims, tables, figures, and the explorer with some clips.

What the run has not made yet is named on the page. Nothing in the page is fetched: pictures, clips and music are in it.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dancemvp_core import datasets, files
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.explorer.scene import Scene
from dancemvp_core.explorer.widget import STYLE, script
from dancemvp_core.paper import tables
from dancemvp_core.pretraining import methods
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.provenance import Paths, Run

HERE = Path(__file__).parent
CSS = HERE / "report.css"
LARGEST_BYTES = 25 * 10**6
POINTS_A_MAP = (160, 80, 40, 20)  # as many of each map as the page has room for
ENCODER = f"{methods.METHODS['ours'].pretraining}-seed0"

TABLES = {
    "claims.csv": "Claims of the paper and of the authors' released code: which ones hold",
    "table1_datasets.csv": "Table 1: data sets",
    "table2_baselines.csv": "Table 2: baselines",
    "table3_ablation.csv": "Table 3: ablation",
    "table4_prompting.csv": "Table 4: prompting and fine-tuning",
    "extra_unseen_dancers.csv": "Level or dancer? A test with unseen dancers (not in the paper)",
    "difficulty_card.csv": "Difficulty of the data: floors and ceiling",
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
    tables_made = [_table(paths.results / name, title, missing) for name, title in TABLES.items()]
    tables_made.insert(list(TABLES).index("table2_baselines.csv") + 1, _beside_the_study(paths.results / "table2_baselines.csv"))
    figures_made = [_figure(paths.figures / f"{name}.png", missing) for name in FIGURES]
    if scene is None:
        missing.append(f"the explorer: {why_not}")
    contents = {
        "where": f"{paths.dataset}{' (synthetic)' if synthetic else ''}, profile {paths.profile}",
        "synthetic": synthetic,
        "tables": [table for table in tables_made if table],
        "figures": [figure for figure in figures_made if figure],
        "missing": missing,
        "profile": paths.profile,
        "commit": _commit(),
    }
    for points in POINTS_A_MAP if scene else (0,):
        page = _page(contents, _explorer(scene, points) if scene else None)
        if len(page.encode()) <= LARGEST_BYTES:
            file = paths.build / "report.html"
            files.write_text(file, page)
            return file, missing
    raise DataError(f"{paths.results}: the report has {len(page.encode()) / 1e6:.0f} MB, expected at most 25 MB")


def _explorer(scene: Scene, points: int) -> dict:
    """What the explorer's script on the page reads: the map, its clips and their music, binary parts as base64."""
    header, data = scene.atlas(ENCODER, points)
    header["encoders"] = [ENCODER]
    clips, audio = {}, {}
    rows = scene.clips_of(header, data)
    for sequence, primitive in rows:
        about, arrays = scene.clip(sequence, primitive)
        clips[f"{sequence}-{primitive}"] = [about, _base64(arrays)]
        if about["audio"] and about["audio"] not in audio:
            audio[about["audio"]] = _base64(scene.audio(about["audio"]))
    return {"header": header, "points": _base64(data), "clips": clips, "audio": audio}


def _table(file: Path, title: str, missing: list[str]) -> dict | None:
    """A table with its title and HTML, which pandas has escaped; None, and a line more missing, without it."""
    if not file.exists():
        missing.append(f"{title} ({file.name})")
        return None
    table = pd.read_csv(file)
    if file.name == "claims.csv":
        styler = tables.verdict_page(table)
    elif {"task1_mean", "paper_task1"} <= set(table):
        styler = tables.styled(table)
    else:
        styler = tables.show(table.map(_cell))
    return {"title": title, "html": styler.format(escape="html").format_index(escape="html", axis="columns").to_html()}


def _beside_the_study(file: Path) -> dict | None:
    """Table 2 of a run beside that of the study that the project shows; None without both, and for a study itself."""
    study = profiles.project_root() / "results" / "study" / file.parent.name / file.name
    if not (file.exists() and study.exists()) or file.parent.parent.name == "study":
        return None
    own = file.parent.parent.name
    table = tables.beside(pd.read_csv(file), pd.read_csv(study), (own, "study"), tables.NAMES)
    styler = tables.show(table)
    title = f"Table 2: this run ({own}) beside the committed study"
    return {"title": title, "html": styler.format(escape="html").format_index(escape="html", axis="columns").to_html()}


def _cell(value) -> str:
    """A value as a reader sees it: three digits, whole numbers whole, nothing for what is unknown."""
    if isinstance(value, float) and not value.is_integer():
        return tables.number(value)
    return str(int(value)) if isinstance(value, float) else "" if pd.isna(value) else str(value)


def _figure(file: Path, missing: list[str]) -> dict | None:
    """A figure with its caption; None, and a line more missing, without it."""
    if not file.exists():
        missing.append(f"figure {file.stem}")
        return None
    sidecar = file.with_suffix(".prov.json")
    caption = json.loads(sidecar.read_text(encoding="utf-8")).get("caption", "") if sidecar.exists() else file.stem
    return {"caption": caption, "picture": _base64(file.read_bytes())}


def _commit() -> str:
    made = provenance.environment()["git"]
    if not made["commit"]:
        return "no commit"
    return f"commit {made['commit'][:12]}{', with local changes' if made['dirty'] else ''}"


def _page(contents: dict, explorer: dict | None) -> str:
    """The whole page as text; every value is escaped, and one that is missing is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    css = [file.read_text(encoding="utf-8") for file in (STYLE, CSS)]
    return environment.get_template("report.html.j2").render(contents, explorer=explorer, css=css, script=script())


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
    parser.add_argument("--split", default="")
    options = parser.parse_args(arguments)
    try:
        profile = profiles.load(options.profile)
        where = {"data": options.data, "root": options.root, "split": profiles.known_split(options.split)}
        params = profiles.validate("explore", profile=profile.name, **where)
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
