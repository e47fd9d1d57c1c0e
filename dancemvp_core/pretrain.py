"""One training loop for every method ("Pre-training"): data on the device, two augmented views, resume from any epoch."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from dancemvp_core import artifacts
from dancemvp_core.augment import Augmentation
from dancemvp_core.objectives import Objective
from dancemvp_core.pieces import LABELS, PieceSet


@dataclass(frozen=True)
class Training:
    """How long and how fast. The paper states the batch size and the learning rate; Adam and the rest are ours.

    ``schedule`` is "constant" or "cosine" (to zero over the run, after a tenth of it spent warming up linearly).
    ``same_music`` pieces of a batch share their music: all performances of a choreography do, so among random
    pieces music alone tells most pairs apart, and little is left for the motion to do (1: random batches).
    """

    epochs: int
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    same_music: int = 1

    def rate(self, share: float) -> float:
        """Learning rate after a share 0..1 of the steps."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule != "cosine":
            raise ValueError(f"schedule {self.schedule!r}: expected constant or cosine")
        warm = min(1.0, (share + 1e-3) / 0.1)
        return self.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * min(share, 1.0)))


def pick_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device):
    """bfloat16 autocast where the device computes in it: GPUs, and processors with AVX-512 BF16; else nothing."""
    if device.type == "cuda" or torch.cpu._is_avx512_bf16_supported():
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def class_codes(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Task 1's class of each pre-train piece, choreography x level x primitive, as 0..C-1, and C; other pieces get -1."""
    names = table[["choreography", "level", "primitive"]].astype(str).fillna("?").agg("/".join, axis=1)
    codes, classes = pd.factorize(names.where(table["split"] == "pretrain"), sort=True)
    return codes, len(classes)


def train(
    objective: Objective,
    pieces: PieceSet,
    training: Training,
    augmentation: Augmentation,
    seed: int,
    mirror=(),
    checkpoint: Path | None = None,
    watch: Callable[[nn.Module], dict] | None = None,
    progress: Callable = lambda epochs: epochs,
) -> pd.DataFrame:
    """Pre-train ``objective.encoder`` in place on the pre-train pieces; returns one row an epoch: loss, rate, seconds.

    ``pieces`` and ``objective`` share a device. ``watch(encoder)`` adds measures to an epoch's row. With
    ``checkpoint`` every epoch is saved, and a run that finds one goes on from it to the same weights as
    one that was never interrupted. Raises FloatingPointError where the loss is no longer a number.
    """
    rows = pieces.rows("pretrain")
    if len(rows) < 2:
        raise ValueError(f"{len(rows)} pre-train pieces: at least two are needed to tell them apart")
    device = pieces.motion.device
    codes = torch.as_tensor(class_codes(pieces.table)[0], device=device)
    batch_size = min(training.batch_size, len(rows))
    steps = len(rows) // batch_size
    generator = torch.Generator(device=device).manual_seed(seed)
    weights = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    # A generator's state fits its own kind of device only.
    stamp = json.dumps([asdict(training), asdict(augmentation), seed, device.type, pieces.digest if checkpoint else ""])
    history = resume(checkpoint, objective, optimizer, generator, stamp) if checkpoint else []
    rows = torch.as_tensor(rows, device=device)

    for epoch in progress(range(len(history), training.epochs)):
        started, total = time.perf_counter(), torch.zeros((), device=device)
        objective.train()
        order = shuffle(rows, pieces.windows[rows], training.same_music, generator)
        for step in range(steps):
            share = (epoch * steps + step) / (training.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = training.rate(share)
            chosen = order[step * batch_size : (step + 1) * batch_size]
            batch = pieces.batch(chosen)
            views = tuple(augmentation(batch, generator, mirror) for _ in range(2))
            with mixed_precision(device):
                loss = objective.loss(views, codes[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
            objective.after_step(share)
            total += loss.detach()
        mean_loss = float(total) / steps
        if not np.isfinite(mean_loss):
            raise FloatingPointError(f"the loss is {mean_loss} in epoch {epoch}: lower the learning rate")
        row = {"epoch": epoch + 1, "loss": mean_loss, "learning_rate": training.rate((epoch + 1) / training.epochs)}
        row["seconds"] = time.perf_counter() - started
        history.append(row | (watch(objective.encoder) if watch else {}))
        if checkpoint:
            save_checkpoint(checkpoint, objective, optimizer, generator, stamp, history)
    objective.eval()
    return pd.DataFrame(history)


def shuffle(rows: Tensor, windows: Tensor, together: int, generator: torch.Generator) -> Tensor:
    """A random order of rows (N,) in which runs of up to ``together`` share their music ``windows`` (N,)."""
    order = torch.randperm(len(rows), generator=generator, device=rows.device)
    if together == 1:
        return rows[order]
    order = order[torch.argsort(windows[order], stable=True)]
    window = windows[order].contiguous()
    rank = torch.arange(len(order), device=rows.device) - torch.searchsorted(window, window)
    run = torch.unique(window * len(order) + rank // together, return_inverse=True)[1]
    place = torch.rand(int(run.max()) + 1, generator=generator, device=rows.device)
    return rows[order[torch.argsort(place[run], stable=True)]]


def still_improving(history: pd.DataFrame, tolerance: float = 0.01) -> bool:
    """Whether a run was stopped too early to be judged ("underfit"): its validation curve was still going up.

    The curve is the mean of the k-NN accuracies (``knn_*``), or, without labels, how far the loss has come down.
    It still improves where its last quarter of the epochs is on average more than ``tolerance`` above
    the quarter before; a single epoch cannot show that it does not.
    """
    accuracies = history.filter(regex="^knn_")
    curve = accuracies.mean(axis=1) if len(accuracies.columns) else 1 - history["loss"] / history["loss"].iloc[0]
    quarter = max(1, len(curve) // 4)
    if len(curve) < 2 * quarter or len(curve) < 2:
        return True
    gain = curve.iloc[-quarter:].mean() - curve.iloc[-2 * quarter : -quarter].mean()
    return bool(gain > tolerance)


def save_checkpoint(path: Path, objective, optimizer, generator, stamp: str, history: list[dict]) -> None:
    """Write model, optimiser and random state to one safetensors file, replaced whole."""
    tensors = {f"model.{k}": v for k, v in objective.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
    tensors["generator"] = generator.get_state()
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    artifacts.write_tensors(path, tensors, {"stamp": stamp, "history": json.dumps(history)})


def resume(path: Path, objective, optimizer, generator, stamp: str) -> list[dict]:
    """Restore what ``save_checkpoint`` wrote for the same settings; returns the epochs done, [] for none."""
    if not path.exists():
        return []
    with safe_open(path, framework="pt") as file:
        if file.metadata()["stamp"] != stamp:
            return []
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
        history = json.loads(file.metadata()["history"])
    objective.load_state_dict({k[len("model.") :]: v for k, v in tensors.items() if k.startswith("model.")})
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, key = name.split(".")
            if value.ndim:  # in the weight's own memory order, which the fused optimiser takes for granted
                value = torch.empty_like(weights[int(i)]).copy_(value)
            state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
    return history


@torch.inference_mode()
def encode(encoder: nn.Module, pieces: PieceSet, rows=None, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """(hidden, z) of pieces on the CPU, float32: the frozen features, and the MLP's output, (N, H) and (N, D).

    Batches of 64 stay in a processor's cache: of 256, a piece takes half as long again.
    """
    rows = np.arange(len(pieces)) if rows is None else np.asarray(rows)
    encoder.eval()
    hidden, z = [], []
    for start in range(0, len(rows), batch_size):
        with mixed_precision(pieces.motion.device):
            h = encoder.hidden(pieces.batch(rows[start : start + batch_size]))
            z.append(encoder.last(h).float().cpu())
        hidden.append(h.float().cpu())
    return torch.cat(hidden), torch.cat(z)


def nearest_neighbour_accuracy(z, table: pd.DataFrame, neighbours: int = 5) -> dict[str, float]:
    """Share of pieces whose ``neighbours`` nearest (cosine) of other performances agree with a label, per label.

    Half of the performances are the memory, the other half asks, in turn of their order: no piece finds itself.
    """
    memory = (table["sequence"].rank(method="dense").astype(int) % 2 == 0).to_numpy()
    neighbours, out = min(neighbours, int(memory.sum())), {}
    for label in LABELS:
        if table[label].nunique(dropna=True) < 2 or not neighbours:
            continue
        names = table[label].astype(str).fillna("?").to_numpy()
        knn = KNeighborsClassifier(neighbours, metric="cosine").fit(z[memory], names[memory])
        out[f"knn_{label}"] = float(np.mean(knn.predict(z[~memory]) == names[~memory]))
    return out
