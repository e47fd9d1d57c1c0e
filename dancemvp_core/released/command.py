"""``dancemvp released``: embeddings, t-SNE and Task 1 of the published checkpoint, as released.

``embed`` encodes every performance. ``tsne`` and ``task1`` use its files if they are of the same checkpoint, data and code;
otherwise they encode the performances that they need (``SCOPES``).
"""

from __future__ import annotations

import hashlib
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dancemvp_core import code_hash, datasets, files, style
from dancemvp_core.dance.sequences import LEVELS, DanceDataset, DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.device import pick_device
from dancemvp_core.released import cutting, prompting, splits
from dancemvp_core.released.checkpoint import load_checkpoint
from dancemvp_core.released.encoder import ReleasedEncoder, encode
from dancemvp_core.released.prompting import PromptTuning
from dancemvp_core.released.texts import RELEASED_VOCABULARY
from dancemvp_core.runs.progress import shown
from dancemvp_core.tasks import feature_maps
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import CLASS_COLUMNS, Episode, class_table
from dancemvp_core.tasks.splits import TEST

CODE = ("dancemvp_core.datasets", "dancemvp_core.released.encoder")  # embeddings that other code made are not used again
SCOPES = ("task1", "test", "all")  # trials 75-99 of the test choreographies, these choreographies, all; each holds those before
TEST_BATCH = 64  # pieces; it only decides which pieces are dropped
LABELS = ["file", "genre", "choreography", "level", "trial"]
RELEASED_LEVELS = LEVELS[::-1]  # in the order of their class numbers
TASK_1 = (
    f"Task 1 as released tunes on trials {splits.SUPPORT_TRIALS[0]}-{splits.SUPPORT_TRIALS[-1]} and tests on trials "
    f"{splits.QUERY_TRIALS[0]}-{splits.QUERY_TRIALS[-1]} of {', '.join(TEST)}, at all three levels"
)
Say = Callable[[str], None]


# --- embeddings on disk ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Encoded pieces: their ``table``, ``hidden`` (P, 256), the input of the MLP's last layer, and ``z`` (P, 256), its output.

    The table is ``pieces_table``. The features are on the CPU.
    """

    table: pd.DataFrame
    hidden: Tensor
    z: Tensor

    def part(self, choreographies: Sequence[str]) -> Embeddings:
        """Return the pieces of some choreographies whose labels are all known."""
        known = self.table[[*CLASS_COLUMNS, "trial"]].notna().all(axis=1)
        rows = np.flatnonzero(known & self.table["choreography"].isin(list(choreographies)))
        table = self.table.iloc[rows].reset_index(drop=True).astype({"trial": int})
        return Embeddings(table, self.hidden[rows], self.z[rows])

    def save(self, out: Path, made_of: dict[str, str]) -> None:
        """Write ``embeddings.parquet`` (the table, and z in the columns z_0, z_1, ...) and ``features.safetensors``."""
        columns = pd.DataFrame(self.z.numpy(), columns=[f"z_{i}" for i in range(self.z.shape[1])])
        files.write_parquet(out / "embeddings.parquet", pd.concat([self.table, columns], axis=1))
        signed = made_of | {"table": files.sha256(out / "embeddings.parquet")}
        files.write_tensors(out / "features.safetensors", {"hidden": self.hidden, "z": self.z.contiguous()}, signed)

    @classmethod
    def load(cls, out: Path, made_of: dict[str, str]) -> Embeddings | None:
        """Return what ``save`` wrote, or None if it is missing, damaged, of something else, or of too few performances."""
        file = out / "embeddings.parquet"
        try:
            with safe_open(out / "features.safetensors", framework="pt") as stored:
                signed = stored.metadata() or {}
                enough = signed.get("scope") in SCOPES[SCOPES.index(made_of["scope"]) :]
                same = all(signed.get(name) == value for name, value in made_of.items() if name != "scope")
                if not (enough and same and signed.get("table") == files.sha256(file)):
                    return None
                hidden, z = stored.get_tensor("hidden"), stored.get_tensor("z")
        except (OSError, SafetensorError):
            return None
        table = pd.read_parquet(file)
        return cls(table[[name for name in table if not name.startswith("z_")]], hidden, z)


def rows_in(index: pd.DataFrame, scope: str) -> np.ndarray:
    """Return the rows of a data set's index in a scope (``SCOPES``)."""
    chosen = (scope == "all") | index["choreography"].isin(TEST)
    if scope == "task1":
        chosen &= index["trial"].isin([*splits.SUPPORT_TRIALS, *splits.QUERY_TRIALS])
    return np.flatnonzero(chosen)


def pieces_table(dataset: DanceDataset, rows: list[int]) -> pd.DataFrame:
    """Return a table with the three pieces of each performance: sequence (its row in the data set), file, labels, and its cut.

    Columns: sequence, LABELS, primitive, start_s, end_s, dataset, synthetic.
    """
    count = len(cutting.CUTS_S)
    sequence, (start, end) = np.repeat(rows, count), np.tile(np.array(cutting.CUTS_S).T, len(rows))
    table = dataset.index.iloc[sequence][LABELS].reset_index(drop=True)
    table["file"] = [f.encode("utf-8", "backslashreplace").decode() for f in table["file"]]  # a table stores only valid UTF-8
    table.insert(0, "sequence", sequence)
    return table.assign(primitive=np.tile(np.arange(count), len(rows)), start_s=start, end_s=end, **dataset.label)


def digest(dataset: DanceDataset) -> str:
    """Return a hash of a data set's labels, and of its motion and music files (``files.fingerprint``)."""
    found = hashlib.sha256(dataset.index.to_csv().encode("utf-8", "surrogateescape"))
    found.update(repr([record["music_offset_s"] for record in getattr(dataset.sequences, "records", ())]).encode())
    for name in sorted({*dataset.index["file"].dropna(), *dataset.index["music"].dropna()}):
        found.update(files.fingerprint(dataset.root / name).encode())
    return found.hexdigest()


@dataclass(frozen=True, eq=False)
class Request:
    """What a command works on: the checkpoint's file and encoder, the data's path and data set, and the folder ``out``."""

    checkpoint: Path
    encoder: ReleasedEncoder
    data: Path
    dataset: DanceDataset
    out: Path

    @classmethod
    def open(cls, checkpoint: Path, data: Path, out: Path) -> Request:
        """Read the checkpoint and open the data. Raises DataError if one of the three cannot be used."""
        there = next(path for path in (out, *out.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise DataError(f"{out}: {there} is not a folder that can be written to, expected one")
        encoder, dataset = load_checkpoint(checkpoint).to(pick_device()), datasets.load(data)
        if dataset.skeleton.joints != IMPERIALDANCE21.joints:
            raise DataError(
                f"{data}: the skeleton is {dataset.skeleton.name}, expected {IMPERIALDANCE21.name}: the released networks know "
                "its 21 joints, in its order"
            )
        return cls(checkpoint, encoder, data, dataset, out)

    def embeddings(self, scope: str, say: Say) -> Embeddings:
        """Return the embeddings of at least the performances in ``scope`` (``SCOPES``): from ``out``, or encoded now.

        What is encoded is also written to ``out``. Raises DataError for unusable data, and if no performance can be cut.
        """
        made_of = {
            "checkpoint": files.sha256(self.checkpoint), "data": digest(self.dataset), "code": code_hash.modules_hash(CODE),
            "scope": scope,
        }  # fmt: skip
        kept = Embeddings.load(self.out, made_of)
        if kept is not None:
            say(f"{self.out / 'embeddings.parquet'}: used again, it is of this checkpoint and these data")
            return kept
        rows = rows_in(self.dataset.index, scope)
        for sentence in self.dataset.left_out:
            say(sentence)
        say(f"encoding {len(rows)} performances on {next(self.encoder.parameters()).device.type}")
        done = encode(self.encoder, self.dataset, rows, shown("performances"))
        if done.left_out:
            say("left out: " + ", ".join(f"{count} {reason}" for reason, count in done.left_out.items()))
        if not done.rows:
            raise DataError(f"{self.data}: no performance of at least {cutting.CLIP_S:.0f} s with music, expected at least one")
        made = Embeddings(pieces_table(self.dataset, done.rows), done.hidden, done.z)
        made.save(self.out, made_of)
        text = f"{len(made.table)} pieces of {made.table['sequence'].nunique()} performances: {self.out / 'embeddings.parquet'}."
        say(style.caption(text, self.dataset.synthetic, self.dataset.name))
        return made


def embed(checkpoint: Path, data: Path, out: Path, say: Say = print) -> Embeddings:
    """``dancemvp released embed``: encode every performance; write ``embeddings.parquet`` and ``features.safetensors``.

    Returns the embeddings. Raises DataError, in one line and without writing anything, for unusable input.
    """
    return Request.open(checkpoint, data, out).embeddings("all", say)


# --- t-SNE -----------------------------------------------------------------------------------------------------------


def tsne(checkpoint: Path, data: Path, out: Path, say: Say = print) -> pd.DataFrame:
    """``dancemvp released tsne``: map z of the released test choreographies; write ``tsne.csv``, ``.png`` and ``.pdf``.

    Returns the points: the labels of each piece, x and y. The released code draws no map; this one is made like Fig. 5 of
    the paper. Raises DataError, in one line, for unusable input.
    """
    request = Request.open(checkpoint, data, out)
    here = [name for name in TEST if name in set(request.dataset.index["choreography"].dropna())]
    if not here:
        raise DataError(f"{data}: no released test choreography in it, expected at least one of {', '.join(TEST)}")
    made = request.embeddings("test", say).part(TEST)
    if len(made.table) < feature_maps.FEWEST_POINTS:
        raise DataError(f"{data}: {len(made.table)} labelled pieces, expected at least {feature_maps.FEWEST_POINTS} for a map")
    x, y = feature_maps.tsne(made.z.numpy()).T
    points = made.table.assign(x=x, y=y)
    text = (
        f"t-SNE of the features z of {checkpoint.name}: {len(points)} pieces, cut as released, of the released test "
        f"choreographies {', '.join(here)}. Colour: choreography (left), level (right). Light to dark: primitives 1, 2, 3."
    )
    caption = style.caption(text, request.dataset.synthetic, request.dataset.name)
    figure = draw(points, caption, request.dataset.synthetic)
    files.write_csv(out / "tsne.csv", points)
    files.write_figure(out / "tsne.png", figure, dpi=200)
    files.write_figure(out / "tsne.pdf", figure)
    say(caption)
    say(f"{out / 'tsne.png'}, tsne.pdf and tsne.csv")
    return points


@style.styled
def draw(points: pd.DataFrame, caption: str, synthetic: bool) -> Figure:
    """Return a figure of one map twice, coloured by choreography and by level, with its caption in it."""
    shape = np.ptp(points["y"]) / max(np.ptp(points["x"]), 1e-9)
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE_IN, 0.9 + 3.3 * np.clip(shape, 0.45, 1.0)))
    for ax, colour_by in zip(axes, ("choreography", "level"), strict=True):
        colours = feature_maps.draw(ax, points, colour_by, numbered=colour_by == "choreography")
        markers = style.LEVEL_MARKERS if colour_by == "level" else {}
        handles = [plt.Line2D([], [], marker=markers.get(n, "s"), ls="", ms=4.5, color=c, label=n) for n, c in colours.items()]
        ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=5, handletextpad=0.1, columnspacing=1)
        ax.set_title(colour_by, loc="left")
    figure.get_layout_engine().set(rect=(0, 0.12, 1, 0.85))
    figure.text(0.01, 0.01, textwrap.fill(caption, 145), fontsize=6.5, va="bottom", color=style.GREY)
    style.badge(figure, synthetic)
    return figure


# --- Task 1 ----------------------------------------------------------------------------------------------------------


def task1(
    checkpoint: Path, data: Path, out: Path, epochs: int = PromptTuning.epochs, seed: int = 0, say: Say = print
) -> pd.DataFrame:
    """``dancemvp released task1``: tune as released, and write the test accuracy after each epoch to ``task1.csv``.

    Returns the table: epoch (from 1), accuracy in %, seed, dataset, synthetic. Raises DataError, in one line, for unusable
    input or too few trials.
    """
    request = Request.open(checkpoint, data, out)
    index = request.dataset.index
    require_trials(index[index["music"].notna()], data)  # before anything is encoded
    made = request.embeddings("task1", say).part(TEST)
    require_trials(made.table, data)
    episode = released_episode(made.table)
    classes = class_table(episode.known)[0]
    last = in_released_order(request.encoder.last, classes)
    features = Features(made.hidden.to(pick_device()), last.to(pick_device()))
    say(f"{TASK_1}.")
    counts = [f"{len(used)} of {len(there)}" for used, there in zip(
        (episode.support, episode.query), splits.support_and_query(made.table), strict=True)]  # fmt: skip
    say(f"{len(classes)} classes; {counts[0]} pieces tune and {counts[1]} are tested: whole batches")
    passes = iter(shown("epochs")(range(epochs)))
    right = prompting.answers(
        features, episode, RELEASED_VOCABULARY, PromptTuning(epochs), seed, after_epoch=lambda _: next(passes)
    )
    list(passes)  # ends a bar
    accuracy = 100 * right.mean(axis=1)
    table = pd.DataFrame({"epoch": range(1, epochs + 1), "accuracy": accuracy}).assign(seed=seed, **request.dataset.label)
    files.write_csv(out / "task1.csv", table)
    best = int(table["accuracy"].idxmax())
    say(f"accuracy after the last epoch ({epochs}): {accuracy[-1]:.1f} %")
    say(
        f"best of all epochs ({best + 1}): {accuracy[best]:.1f} %. As released, the test accuracy is printed after each epoch; the "
        "best of them is chosen on test and is no estimate."
    )
    say(style.caption(f"{out / 'task1.csv'} has all epochs.", request.dataset.synthetic, request.dataset.name))
    return table


def require_trials(table: pd.DataFrame, data: Path) -> None:
    """Raise DataError unless each class of Task 1 as released has trials to tune and trials to test.

    ``table`` has choreography, level and trial of performances with music, or of their pieces.
    """
    for choreography in TEST:
        for level in LEVELS:
            own = table.loc[(table["choreography"] == choreography) & (table["level"] == level), "trial"].dropna()
            if not (own.isin(splits.SUPPORT_TRIALS).any() and own.isin(splits.QUERY_TRIALS).any()):
                there = f"trials {own.min()} to {own.max()}" if len(own) else "no trials"
                raise DataError(f"{data}: {choreography} {level} has {there} with music, but {TASK_1}")


def class_numbers(table: pd.DataFrame) -> np.ndarray:
    """Return the class of each piece, 0..44 (N,), numbered as released: by choreography, level (expert first), primitive."""
    place = table["choreography"].map(TEST.index) * 9 + table["level"].map(RELEASED_LEVELS.index) * 3
    return (place + table["primitive"]).to_numpy(int)


def released_episode(table: pd.DataFrame) -> Episode:
    """Return support and query of the pieces in ``table``, in the order as released, which matters: batches are not shuffled.

    The order is that of ``TEST``, then by level, trial and primitive. (As released, the order of levels is that in which the
    machine lists a folder; here the expert is first.) Incomplete batches at the end, of 32 to tune and of 64 to test, are
    dropped, unless a class would then be missing.
    """
    order = np.lexsort((table["primitive"], table["trial"], class_numbers(table) // 3))
    place = np.argsort(order)
    support, query = (rows[np.argsort(place[rows])] for rows in splits.support_and_query(table))
    return Episode(table, _whole_batches(table, support, PromptTuning.batch_size), _whole_batches(table, query, TEST_BATCH))


def _whole_batches(table: pd.DataFrame, rows: np.ndarray, size: int) -> np.ndarray:
    whole = rows[: len(rows) // size * size]
    numbers = class_numbers(table)
    return whole if set(numbers[whole]) == set(numbers[rows]) else rows


def in_released_order(last: nn.Linear, classes: pd.DataFrame) -> nn.Linear:
    """Return a copy of the last layer whose outputs are in the order of ``classes`` (``class_table``), the others behind them.

    So each class starts from the same number of z as released.
    """
    numbers = class_numbers(classes)
    others = np.setdiff1d(np.arange(last.out_features), numbers)
    order = torch.from_numpy(np.concatenate([numbers, others]))
    made = nn.Linear(last.in_features, last.out_features)
    made.load_state_dict({name: value.cpu()[order] for name, value in last.state_dict().items()})
    return made
