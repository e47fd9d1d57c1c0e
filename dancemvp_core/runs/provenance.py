"""The folders of a run, and the provenance of every result in a file beside it (``.prov.json``, the sidecar).

``start`` begins a notebook's ``Run``. Its ``save_*`` methods write tables and figures, each with its sidecar. ``finish``
writes the notebook's record, which shows the workflow that the notebook is done. ``require`` ends a notebook early if the
data do not support it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dancemvp_core.files import fingerprint, sha256, write_csv, write_figure, write_json, write_parquet, write_tensors
from dancemvp_core.runs.profiles import ParameterError, Parameters, project_root, with_split

if TYPE_CHECKING:  # the workflow imports this module before every run; pandas and matplotlib would slow it down
    import pandas as pd

METRICS_COLUMNS = ["method", "protocol", "seed", "genres", "shots", "task", "metric", "value"]


class LeftOut(Exception):
    """A notebook ends early without an error, because the data do not support the rest. The message gives the reason."""

    def _render_traceback_(self):  # Jupyter shows this line instead of a traceback
        return [f"Left out: {self}"]


@dataclass(frozen=True)
class Paths:
    """The folders of one profile and data set in the project: results, figures, and build for intermediate files.

    The name of the data set has that of a split other than the data's own (``profiles.with_split``).
    """

    profile: str
    dataset: str
    root: Path

    @classmethod
    def of(cls, params: Parameters) -> Paths:
        """Return the folders for a notebook with these parameters."""
        return cls(params.label, with_split(dataset_name(params.data_root), params.split), params.project)

    def _folder(self, kind: str) -> Path:
        return self.root / kind / self.profile / self.dataset

    @property
    def results(self) -> Path:
        """The folder of the tables."""
        return self._folder("results")

    @property
    def figures(self) -> Path:
        """The folder of the figures, as png and pdf."""
        return self._folder("figures")

    @property
    def build(self) -> Path:
        """The folder of files that a run can create again: pieces, encoders, checkpoints, executed notebooks."""
        return self._folder("build")

    @property
    def pieces(self) -> Path:
        """The folder of the cut pieces (``PieceSet.save``)."""
        return self.build / "pieces"

    @property
    def music_cache(self) -> Path:
        """The folder of cached music analyses. All profiles and data sets share it, because its keys depend on the content."""
        return self.root / "build" / "music"

    def encoder(self, pretraining: str, seed: int) -> Path:
        """Return the file of a finished pre-training's encoder."""
        return self.build / "encoders" / f"{pretraining}-seed{seed}.safetensors"

    def checkpoint(self, pretraining: str, seed: int) -> Path:
        """Return the checkpoint file of an unfinished pre-training. An interrupted job keeps it, unlike a job's outputs."""
        return self.build / "checkpoints" / f"{pretraining}-seed{seed}.safetensors"

    def outcome(self, source: str, protocol: str, shots: int, genres: int, seed: int) -> Path:
        """Return the file of the outcome of a pre-training or floor under a protocol; it has one row for each query piece."""
        return self.build / "outcomes" / f"{source}-{protocol}-{shots}shots-g{genres}-seed{seed}.parquet"

    def record(self, job: str) -> Path:
        """Return a notebook's record (``Run.finish``): the files that it wrote and used. It shows that the notebook is done."""
        return self.build / "records" / f"{job}.json"

    def notebook(self, job: str) -> Path:
        """Return the file of the executed notebook."""
        return self.build / "notebooks" / f"{job}.ipynb"


def dataset_name(root: Path) -> str:
    """Return the data set's name in results: the name in dataset.json or in a description, or else the name of its folder.

    In a folder's name, ``%FF`` and the like replace bytes that are not UTF-8, line breaks, and braces, which have a meaning
    in Snakemake. Raises DataError if dataset.json cannot be read.
    """
    from dancemvp_core.datasets.reading import located, read_facts

    name = re.sub(r"[\udc80-\udcff{}\n]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", located(root).resolve().name)
    return read_facts(Path(root), name)[0]


def downloads(root: Path) -> list[dict]:
    """Return what a data set was downloaded from ([{"url", "sha256", ...}], ``download.fetch``); [] if nothing is known."""
    from dancemvp_core.datasets.reading import read_facts

    return read_facts(Path(root), "downloaded")[1].get("downloads", []) if Path(root).exists() else []


def data_fingerprint(root: str | Path) -> str:
    """Return the fingerprint of a data set: of its folder, and of the description if ``root`` is one (``reading.located``)."""
    from dancemvp_core.datasets.reading import located

    return "-".join(fingerprint(path) for path in dict.fromkeys([Path(root), located(root)]))


# --- provenance --------------------------------------------------------------------------------------------------


@cache
def code_version(root: Path) -> dict[str, Any]:
    """Return {"commit", "dirty"} of the checkout at ``root``; both are None without git or if ``root`` is no checkout.

    Changed results and figures do not make a checkout dirty, because a run rewrites them.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True, timeout=20)
        return os.fsdecode(done.stdout).rstrip("\n")

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(root).resolve():
            return {"commit": None, "dirty": None}  # a copy inside another repository
        changed = git("status", "--porcelain", "--", ".", ":!results", ":!figures")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def environment() -> dict[str, Any]:
    """Return the environment of the run: {"git", "lock" (SHA-256 of requirements.lock), "device", "versions"}."""
    lock = project_root() / "requirements.lock"
    return {
        "git": code_version(project_root()),
        "lock": sha256(lock) if lock.is_file() else None,
        "device": device(),
        "versions": _versions(),
    }


def device() -> str:
    """Return the name of the GPU if torch is loaded and finds one, else "cpu"."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else "cpu"


def peak_memory_mb() -> float:
    """Return the largest resident memory so far, in MiB, of this process or of one of its finished children."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(usage) * unit / 2**20, 1)


@dataclass
class Run:
    """One run of a notebook: its parameters and inputs, and the files that it has written so far."""

    params: Parameters
    paths: Paths
    inputs: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add_input(self, path: Path) -> Path:
        """Record the fingerprint of a file or folder that the results depend on, and return its path."""
        hashed = data_fingerprint if path == self.params.data_root else fingerprint
        self.inputs[_relative(path, self.paths.root)] = hashed(path)
        return path

    def save_table(self, name: str, frame: pd.DataFrame, **notes) -> Path:
        """Write a table (csv or parquet, by its suffix) and its sidecar, and return its path.

        ``name`` is relative to the results folder. Raises ValueError for another suffix.
        """
        path = self.paths.results / name
        writers = {".csv": write_csv, ".parquet": write_parquet}
        if path.suffix not in writers:
            raise ValueError(f"{name}: expected a name that ends in .csv or .parquet")
        writers[path.suffix](path, frame)
        return self._sign(path, path, rows=len(frame), **notes)

    def save_metrics(self, frame: pd.DataFrame) -> Path:
        """Write this notebook's rows into ``metrics.parquet``, replace its earlier rows, and return the path.

        Columns: method, protocol, seed, genres, shots, task, metric, value. The file holds the rows of all notebooks in the
        order of their names, whichever ends first. A lock lets one notebook at a time write it. It holds a row that two
        notebooks share once. Raises ValueError for other columns.
        """
        import pandas as pd

        if list(frame.columns) != METRICS_COLUMNS:
            raise ValueError(f"metrics: expected the columns {', '.join(METRICS_COLUMNS)}, got {', '.join(frame)}")
        folder = self.paths.build / "metrics"
        write_parquet(folder / f"{self.params.job}.parquet", frame.reset_index(drop=True))
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            parts = {part.stem: pd.read_parquet(part) for part in sorted(folder.glob("[!.]*.parquet"))}
            rows = {name: len(part) for name, part in parts.items()}
            stacked = pd.concat(parts.values()).drop_duplicates(METRICS_COLUMNS[:-1], ignore_index=True)
            return self.save_table("metrics.parquet", stacked, parts=rows)

    def save_figure(self, name: str, figure, caption: str, dataset, **notes) -> Path | None:
        """Write a figure as png and pdf into the figures folder, with one sidecar for both, and return the png's path.

        The sidecar holds the caption, with the name of the ``dataset`` (a DanceDataset) and a note if it is synthetic. If
        the figure is None, because it could not be drawn, the method prints a line, writes nothing and returns None.
        """
        if figure is None:
            print(f"{name} is left out: there are not enough data for it.")
            return None
        from dancemvp_core import style

        stem = self.paths.figures / name
        png, pdf = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf")
        write_figure(png, figure, dpi=200)
        write_figure(pdf, figure)
        self.files.append(pdf)
        name = with_split(dataset.name, self.params.split)
        return self._sign(png, stem, caption=style.caption(caption, dataset.synthetic, name), **notes)

    def save_tensors(self, path: Path, tensors: dict, metadata: dict[str, str] | None = None, **notes) -> Path:
        """Write named tensors (e.g. an encoder's weights) and their sidecar, and return the path; ``results`` is its base."""
        path = self.paths.results / path
        write_tensors(path, tensors, metadata)
        return self._sign(path, path, **notes)

    def provenance(self) -> dict[str, Any]:
        """Return the provenance of a result: parameters, seeds, data, code, environment, device, time and memory so far."""
        parameters = self.params.model_dump(exclude={"stage", "data", "root", "aistpp"})
        return {
            "notebook": self.params.stage,
            "parameters": parameters,
            "seeds": _seeds(parameters),
            "dataset": self.paths.dataset,
            "inputs": self.inputs,
            **({"downloads": found} if (found := downloads(self.params.data_root)) else {}),
            **environment(),
            "wall_s": round(time.perf_counter() - self.started, 2),
            "peak_memory_mb": peak_memory_mb(),
        }

    def finish(self) -> None:
        """Write the notebook's record, in its last cell. Without a record, the workflow treats the notebook as unfinished."""
        files = [_relative(path, self.paths.root) for path in self.files]
        write_json(self.paths.record(self.params.job), self.provenance() | {"files": files})

    def require(self, reason: str) -> None:
        """End the notebook if there is a ``reason`` why the data do not support it; continue if the reason is "".

        The method writes the record, so that the workflow treats the notebook as done, and raises LeftOut with the reason.
        """
        import pandas as pd

        if not reason:
            return
        if (self.paths.build / "metrics" / f"{self.params.job}.parquet").exists():  # an earlier run on other data wrote it
            self.save_metrics(pd.DataFrame(columns=METRICS_COLUMNS))
        self.finish()
        raise LeftOut(reason)

    def _sign(self, path: Path, stem: Path, **notes) -> Path:
        sidecar = stem.with_name(f"{stem.name}.prov.json")
        write_json(sidecar, {"file": path.name, "sha256": sha256(path)} | notes | self.provenance())
        self.files += [path, sidecar]
        return path


def start(params: Parameters, inputs: Iterable[Path] = ()) -> Run:
    """Return a new run of a notebook; it starts the clock and records the fingerprints of the ``inputs``.

    Raises ParameterError if ``params`` does not come from ``profiles.validate``.
    """
    if not isinstance(params, Parameters):
        raise ParameterError(f"start: expected the result of profiles.validate, got {type(params).__name__}")
    run = Run(params, Paths.of(params))
    for path in inputs:
        run.add_input(path)
    return run


def _seeds(parameters: dict[str, Any]) -> list[int] | None:
    if "seed" in parameters:
        return [parameters["seed"]]
    return list(range(parameters["seeds"])) if "seeds" in parameters else None


def _relative(path: Path, root: Path) -> str:
    """Return a path relative to the project, or only its name if it lies outside, because a sidecar may be published."""
    path = Path(path).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("numpy", "torch", "librosa"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
