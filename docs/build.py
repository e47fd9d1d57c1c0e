"""`make site`: the READMEs, the executed notebooks and the docstrings as pages in build/site, which open from disk.

Nothing is run again and nothing is fetched. The pages are the project's own files, copied to build/site-pages; one page for
each room of the core is written from its docstrings; the report of each run that has one is put beside them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
CORE = PROJECT / "dancemvp_core"
PAGES, SITE, READ = (PROJECT / "build" / name for name in ("site-pages", "site", "site-read"))
COPIED = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "benchmarks/README.md", "dancemvp_core/**/*.md",
    "notebooks/*.md", "notebooks/*.ipynb", "figures/*/*.png", "figures/*/*/*.png",
    "figures/study/*/pretrain/*.png",
)  # fmt: skip


def gather() -> None:
    """Copy the project's pages and pictures, with their times: what has not changed is not read again."""
    for path in sorted(path for pattern in COPIED for path in PROJECT.glob(pattern)):
        copy(path, PAGES / path.relative_to(PROJECT))
    for path in DOCS.glob("*.md"):
        copy(path, PAGES / path.name)


def copy(source: Path, to: Path) -> None:
    """Copy a file, with its time, into a folder that is made where it is missing."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, to)


def section(module: str, underline: str) -> str:
    """The heading and the docstrings of a module, as reStructuredText; ``module`` is its name from the project on."""
    title = module.removeprefix(f"{CORE.name}.")
    return f"{title}\n{underline * len(title)}\n\n.. automodule:: {module}\n\n"


def reference() -> None:
    """Write a page for each room of the core, and one for its map and the modules beside the rooms."""
    modules = [path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".") for path in sorted(CORE.rglob("*.py"))]
    modules = [module.removesuffix(".__init__") for module in modules]
    rooms = sorted({module for module in modules if module.count(".") == 1 and (PROJECT / module.replace(".", "/")).is_dir()})
    pages = PAGES / "api"
    pages.mkdir()
    for room in rooms:
        inside = [module for module in modules if module.startswith(f"{room}.")]
        text = section(room, "=") + "".join(section(module, "-") for module in inside)
        (pages / f"{room.removeprefix(f'{CORE.name}.')}.rst").write_text(text, encoding="utf-8")
    others = [module for module in modules if module.count(".") == 1 and module not in rooms]
    text = f"The code\n========\n\n.. automodule:: {CORE.name}\n\n.. toctree::\n   :glob:\n\n   *\n\n"
    (pages / "index.rst").write_text(text + "".join(section(module, "-") for module in others), encoding="utf-8")


def reports() -> None:
    """Put the reports of finished runs into the site and link them on their page, or say there that there is none."""
    found = sorted((PROJECT / "build").glob("*/*/report.html"))
    links = []
    for path in found:
        profile, dataset = path.parts[-3:-1]
        copy(path, SITE / "reports" / f"{profile}-{dataset}.html")
        links.append(f'- <a href="reports/{profile}-{dataset}.html">{dataset}, profile {profile}</a>\n')
    with (PAGES / "report.md").open("a", encoding="utf-8") as page:
        page.write("\n" + ("".join(links) or "No run in this checkout had a report when the site was made.\n"))


def main() -> int:
    """Build the site; 0, or Sphinx's status where it fails or warns."""
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    gather()
    reference()
    reports()
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", DOCS, "--doctree-dir", READ, PAGES, SITE]
    status = build_main([str(option) for option in options])
    if status == 0:
        print(f"{(SITE / 'index.html').relative_to(PROJECT)}: open it in a browser")
    return status


if __name__ == "__main__":
    sys.exit(main())
