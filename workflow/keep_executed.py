"""`make notebooks`: copy the executed notebooks of the smoke run to notebooks/, without parts that change between runs.

It removes papermill's times, papermill's cell of parameters (the parameters cell already has smoke's values), versions,
absolute paths and the output of the error stream.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat

from dancemvp_core import files
from dancemvp_core.runs import profiles, provenance

PROJECT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def settled(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """Return the executed notebook as it is committed; the name of the folder ``root`` must not appear in it."""
    cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    count = 0
    for cell in cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if cell.metadata.get(key)}
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            output.update(_without_root(output, root))
            if "data" in output:  # a widget without a kernel is an empty box; the cell has a picture too
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
    kept = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nbformat.validate(kept)
    return kept


def _without_root(value, root: Path):
    """Return the same text, lists and dicts with paths relative to ``root`` and without object addresses."""
    if isinstance(value, str):
        return re.sub(r" at 0x[0-9a-f]+", "", value.replace(f"{root}/", "").replace(str(root), "."))
    if isinstance(value, list):
        return [_without_root(item, root) for item in value]
    if isinstance(value, dict):
        return {key: _without_root(item, root) for key, item in value.items()}
    return value


def main() -> int:
    """Copy each notebook that ran with its default parameters; return 0, or 1 if the smoke run lacks a notebook."""
    paths = provenance.Paths("smoke", profiles.SYNTHDANCE, PROJECT)
    for source in sorted(path for path in (PROJECT / "notebooks").glob("*.ipynb") if path.stem in profiles.STAGES):
        job = profiles.validate(source.stem).job
        executed = paths.notebook(job)
        if not paths.record(job).exists() or not executed.exists():
            print(f"{source.name}: there is no finished smoke run; run make reproduce PROFILE=smoke", file=sys.stderr)
            return 1
        text = nbformat.writes(settled(nbformat.read(executed, as_version=4), PROJECT)) + "\n"
        files.write_text(source, text)
        print(f"wrote {source.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
