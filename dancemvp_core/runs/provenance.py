"""Where results go, and where each of them came from: the folders of a run, and a sidecar beside every file.

``start`` begins a notebook's ``Run``. Its ``save_*`` write tables and figures, each with its ``.prov.json``; ``finish``
writes the notebook's record, by which the workflow knows that it is done. ``require`` ends a notebook early where the
data cannot support it.
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
from dancemvp_core.runs.profiles import ParameterError, Parameters, project_root

if TYPE_CHECKING:  # the workflow reads this module before every run and should wait for neither pandas nor matplotlib
    import pandas as pd

METRICS_COLUMNS = ["method", "protocol", "seed", "genres", "shots", "task", "metric", "value"]


class LeftOut(Exception):
    """A notebook ends here, and that is no fault: the data do not support what follows. The message says why."""

    def _render_traceback_(self):  # Jupyter shows this in place of a traceback
        return [f"Left out: {self}"]


@dataclass(frozen=True)
class Paths:
    """The folders of one profile and data set under the project: results, figures, and build for by-products."""

    profile: str
    dataset: str
    root: Path

    @classmethod
    def of(cls, params: Parameters) -> Paths:
        """The folders that a notebook with these parameters writes to."""
        return cls(params.label, dataset_name(params.data_root), params.project)

    def _folder(self, kind: str) -> Path:
        return self.root / kind / self.profile / self.dataset

    @property
    def results(self) -> Path:
        """Tables: the results contract."""
        return self._folder("results")

    @property
    def figures(self) -> Path:
        """Figures as png and pdf."""
        return self._folder("figures")

    @property
    def build(self) -> Path:
        """What can be made again: pieces, encoders, checkpoints, executed notebooks."""
        return self._folder("build")

    @property
    def pieces(self) -> Path:
        """Folder of the cut pieces (``PieceSet.save``)."""
        return self.build / "pieces"

    @property
    def music_cache(self) -> Path:
        """Folder of cached music analyses, shared by all profiles and data sets: entries are keyed by content."""
        return self.root / "build" / "music"

    def encoder(self, pretraining: str, seed: int) -> Path:
        """Weights of a finished pre-training."""
        return self.build / "encoders" / f"{pretraining}-seed{seed}.safetensors"

    def checkpoint(self, pretraining: str, seed: int) -> Path:
        """Last epoch of an unfinished pre-training; survives an interrupted job, as a job's output does not."""
        return self.build / "checkpoints" / f"{pretraining}-seed{seed}.safetensors"

    def outcome(self, source: str, protocol: str, shots: int, genres: int, seed: int) -> Path:
        """What a pre-training or floor reached under a protocol, one row a query piece."""
        return self.build / "outcomes" / f"{source}-{protocol}-{shots}shots-g{genres}-seed{seed}.parquet"

    def record(self, job: str) -> Path:
        """What a finished notebook wrote and used (``Run.finish``); the workflow's mark that it is done."""
        return self.build / "records" / f"{job}.json"

    def notebook(self, job: str) -> Path:
        """The executed notebook."""
        return self.build / "notebooks" / f"{job}.ipynb"


def dataset_name(root: Path) -> str:
    """The data set's name in results: dataset.json's, else its folder's. DataError where that cannot be read.

    Of a folder's name, bytes that are no UTF-8, and the braces, which mean something to Snakemake, stand as in an
    address: ``%FF``.
    """
    from dancemvp_core.datasets.reading import read_facts

    name = re.sub(r"[\udc80-\udcff{}\n]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", Path(root).resolve().name)
    return read_facts(Path(root), name)[0]


# --- provenance --------------------------------------------------------------------------------------------------


@cache
def code_version(root: Path) -> dict[str, Any]:
    """{"commit", "dirty"} of the checkout at ``root``; both None without git or outside its own checkout.

    Results and figures, which a run itself rewrites, do not make a checkout dirty.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True, timeout=20)
        return os.fsdecode(done.stdout).rstrip("\n")

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(root).resolve():
            return {"commit": None, "dirty": None}  # a copy inside somebody else's repository
        changed = git("status", "--porcelain", "--", ".", ":!results", ":!figures")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def environment() -> dict[str, Any]:
    """What runs: {"git", "lock", "device", "versions"}; the lock by its SHA-256."""
    lock = project_root() / "requirements.lock"
    return {
        "git": code_version(project_root()),
        "lock": sha256(lock) if lock.is_file() else None,
        "device": device(),
        "versions": _versions(),
    }


def device() -> str:
    """What computes: the GPU's name where torch is loaded and sees one, else "cpu"."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else "cpu"


def peak_memory_mb() -> float:
    """Largest resident memory so far of this process or of any one of its finished children, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB here
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(max(usage) * unit / 2**20, 1)


@dataclass
class Run:
    """One execution of a notebook: its parameters and inputs, and the files that it has written so far."""

    params: Parameters
    paths: Paths
    inputs: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add_input(self, path: Path) -> Path:
        """Note a file or folder that results depend on, by its fingerprint; returns the path."""
        self.inputs[_relative(path, self.paths.root)] = fingerprint(path)
        return path

    def save_table(self, name: str, frame: pd.DataFrame, **notes) -> Path:
        """Write a table, csv or parquet by its suffix, with its sidecar; ``name`` is relative to the results folder."""
        path = self.paths.results / name
        writers = {".csv": write_csv, ".parquet": write_parquet}
        if path.suffix not in writers:
            raise ValueError(f"{name}: expected a name that ends in .csv or .parquet")
        writers[path.suffix](path, frame)
        return self._sign(path, path, rows=len(frame), **notes)

    def save_metrics(self, frame: pd.DataFrame) -> Path:
        """Add this notebook's rows to ``metrics.parquet``, in place of those that it wrote before.

        Columns: method, protocol, seed, genres, shots, task, metric, value. The notebooks' parts are stacked in the order
        of their names, so that it does not matter which ends first; only one at a time may stack them. What two
        notebooks share stands there once.
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
        """Write a figure as png and pdf under the figures folder, with one sidecar that holds the caption.

        The caption is completed by the name of the ``dataset`` (a DanceDataset), and that it is synthetic where it is.
        Of a figure that could not be drawn (None) one line says so, and nothing is written.
        """
        if figure is None:
            print(f"{name} is left out: the data have too little for it.")
            return None
        from dancemvp_core import style

        stem = self.paths.figures / name
        png, pdf = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf")
        write_figure(png, figure, dpi=200)
        write_figure(pdf, figure)
        self.files.append(pdf)
        return self._sign(png, stem, caption=style.caption(caption, dataset.synthetic, dataset.name), **notes)

    def save_tensors(self, path: Path, tensors: dict, metadata: dict[str, str] | None = None, **notes) -> Path:
        """Write named tensors, an encoder's weights say, with their sidecar; a relative path is under results."""
        path = self.paths.results / path
        write_tensors(path, tensors, metadata)
        return self._sign(path, path, **notes)

    def provenance(self) -> dict[str, Any]:
        """Where a result comes from: parameters, seeds, code, inputs, environment, device, time and memory so far."""
        parameters = self.params.model_dump(exclude={"stage", "data", "root", "aistpp"})
        return {
            "notebook": self.params.stage,
            "parameters": parameters,
            "seeds": _seeds(parameters),
            "dataset": self.paths.dataset,
            "inputs": self.inputs,
            **environment(),
            "wall_s": round(time.perf_counter() - self.started, 2),
            "peak_memory_mb": peak_memory_mb(),
        }

    def finish(self) -> None:
        """Write the notebook's record: the last cell. Without it the workflow holds the notebook for unfinished."""
        files = [_relative(path, self.paths.root) for path in self.files]
        write_json(self.paths.record(self.params.job), self.provenance() | {"files": files})

    def require(self, reason: str) -> None:
        """End the notebook here where there is a ``reason`` why the data do not support it; "" goes on.

        The record is written, so that the workflow holds the notebook for done. Raises LeftOut with the reason.
        """
        import pandas as pd

        if not reason:
            return
        if (self.paths.build / "metrics" / f"{self.params.job}.parquet").exists():  # of other data in the same place
            self.save_metrics(pd.DataFrame(columns=METRICS_COLUMNS))
        self.finish()
        raise LeftOut(reason)

    def _sign(self, path: Path, stem: Path, **notes) -> Path:
        sidecar = stem.with_name(f"{stem.name}.prov.json")
        write_json(sidecar, {"file": path.name, "sha256": sha256(path)} | notes | self.provenance())
        self.files += [path, sidecar]
        return path


def start(params: Parameters, inputs: Iterable[Path] = ()) -> Run:
    """Start a notebook's run: the clock, the folders, and the fingerprints of what it reads."""
    if not isinstance(params, Parameters):
        raise ParameterError(f"start: expected what profiles.validate returns, got {type(params).__name__}")
    run = Run(params, Paths.of(params))
    for path in inputs:
        run.add_input(path)
    return run


def _seeds(parameters: dict[str, Any]) -> list[int] | None:
    if "seed" in parameters:
        return [parameters["seed"]]
    return list(range(parameters["seeds"])) if "seeds" in parameters else None


def _relative(path: Path, root: Path) -> str:
    """Relative to the project; of a path outside only its name, since a sidecar may be published."""
    path = Path(path).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("numpy", "torch", "librosa"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
