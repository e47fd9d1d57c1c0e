"""One training loop for every method ("Pre-training"): data on the device, two augmented views, resume from any epoch."""

from __future__ import annotations

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

from dancemvp_core import code_hash, files
from dancemvp_core.dance.pieces import LABELS, PieceSet
from dancemvp_core.device import bfloat16_is_right, first_not_finite, full_precision, has_bfloat16, repeatable
from dancemvp_core.models.encoders import BFLOAT16, DanceEncoder
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.objectives import Objective, Views


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


def use_bfloat16(objective: nn.Module, on: bool) -> None:
    """Let the encoders in an objective train in bfloat16, or not."""
    for module in objective.modules():
        if isinstance(module, DanceEncoder):
            module.bfloat16 = on


def precision_for(objective: Objective, views: Views, labels: Tensor) -> str:
    """"bfloat16" where an encoder may train in it (``encoders.BFLOAT16``) and the device computes this batch rightly in it.

    Else "float32".
    """
    device = labels.device
    nets = [net for m in objective.modules() if isinstance(m, DanceEncoder) for net in m.encoders.values()]
    wanted = has_bfloat16(device) and any(device.type in BFLOAT16[type(net)] for net in nets)
    right = wanted and bfloat16_is_right(objective, lambda trial: trial.loss(views, labels), use_bfloat16)
    return "bfloat16" if right else "float32"


def class_codes(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Task 1's class of each pre-train piece, choreography x level x primitive, as 0..C-1, and C; other pieces get -1."""
    names = table[["choreography", "level", "primitive"]].astype(str).fillna("?").agg("/".join, axis=1)
    codes, classes = pd.factorize(names.where(table["split"] == "pretrain"), sort=True)
    return codes, len(classes)


@dataclass(frozen=True)
class Hooks:
    """What goes on beside the training: nothing of it changes the weights.

    ``checkpoint``: a file for the state at the end of an epoch, at most every ``checkpoint_every_s`` seconds. ``watch``
    measures the encoder after each epoch; ``progress`` wraps the loop over the epochs.
    """

    checkpoint: Path | None = None
    watch: Callable[[nn.Module], dict] | None = None
    progress: Callable = lambda epochs: epochs
    checkpoint_every_s: float = 60.0


@repeatable()
def train(
    objective: Objective,
    pieces: PieceSet,
    training: Training,
    augmentation: Augmentation,
    seed: int,
    mirror=(),
    hooks: Hooks | None = None,
) -> pd.DataFrame:
    """Pre-train ``objective.encoder`` in place on the pre-train pieces; returns one row an epoch.

    Its columns: epoch, loss, learning_rate, precision, seconds, and what ``hooks.watch`` measures. ``pieces`` and
    ``objective`` share a device. The same seed on the same machine gives the same weights. bfloat16 is used where an
    encoder allows it (``encoders.BFLOAT16``) and the first batch shows that this machine computes it rightly. A run that
    finds a checkpoint of the same settings goes on from it, to the same weights as one that was never interrupted. Raises
    FloatingPointError, saying what is not a finite number, where a loss or a gradient is not.
    """
    hooks = hooks or Hooks()
    loop = _Loop(objective, pieces, training, augmentation, seed, mirror)
    # A generator's state fits its own kind of device only.
    machine = [loop.device.type, has_bfloat16(loop.device)]
    digest = pieces.digest if hooks.checkpoint else ""
    stamp = json.dumps([asdict(training), asdict(augmentation), seed, machine, digest, code_hash.stamp(__name__)])
    state = (objective, loop.optimizer, loop.generator, stamp)
    history = resume(hooks.checkpoint, *state) if hooks.checkpoint else []
    precision = history[-1]["precision"] if history else loop.precision(seed)
    use_bfloat16(objective, precision == "bfloat16")
    saved = time.monotonic()
    for epoch in hooks.progress(range(len(history), training.epochs)):
        started = time.perf_counter()
        loss = loop.epoch(epoch)
        row = {"epoch": epoch + 1, "loss": loss, "learning_rate": training.rate((epoch + 1) / training.epochs)}
        row |= {"precision": precision, "seconds": time.perf_counter() - started}
        history.append(row | (hooks.watch(objective.encoder) if hooks.watch else {}))
        if hooks.checkpoint and time.monotonic() - saved >= hooks.checkpoint_every_s:
            save_checkpoint(hooks.checkpoint, *state, history)
            saved = time.monotonic()
    objective.eval()
    return pd.DataFrame(history)


class _Loop:
    """The steps of a pre-training: data, optimiser and random state, all on the pieces' device."""

    def __init__(self, objective: Objective, pieces: PieceSet, training: Training, augmentation: Augmentation, seed: int, mirror):
        rows = pieces.rows("pretrain")
        if len(rows) < 2:
            raise ValueError(f"{len(rows)} pre-train pieces: InfoNCE needs at least two")
        self.objective, self.pieces, self.training, self.augmentation, self.mirror = (
            objective, pieces, training, augmentation, mirror
        )  # fmt: skip
        self.device = pieces.motion.device
        self.codes = torch.as_tensor(class_codes(pieces.table)[0], device=self.device)
        self.batch_size = min(training.batch_size, len(rows))
        self.steps = len(rows) // self.batch_size
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self.weights = [p for p in objective.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.rows = torch.as_tensor(rows, device=self.device)

    def views(self, chosen: Tensor, generator: torch.Generator) -> Views:
        """Two augmented views of the pieces of some rows."""
        batch = self.pieces.batch(chosen)
        return self.augmentation(batch, generator, self.mirror), self.augmentation(batch, generator, self.mirror)

    def precision(self, seed: int) -> str:
        """The precision in which to train, shown right on a first batch that does not count (``precision_for``)."""
        self.objective.train()
        first = self.rows[: self.batch_size]
        views = self.views(first, torch.Generator(device=self.device).manual_seed(seed))
        return precision_for(self.objective, views, self.codes[first])

    def epoch(self, number: int) -> float:
        """One pass over the pre-train pieces; returns the mean loss."""
        self.objective.train()
        sums = torch.zeros(2, device=self.device)  # of losses and of gradients' norms
        order = shuffle(self.rows, self.pieces.windows[self.rows], self.training.same_music, self.generator)
        for step in range(self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            views = self.views(chosen, self.generator)
            sums += self.step(views, self.codes[chosen], number, step)
        total, norms = sums.tolist()
        if not np.isfinite([total, norms]).all():
            raise FloatingPointError(not_finite(self.objective, views, self.codes[chosen], f"epoch {number + 1}"))
        return total / self.steps

    def step(self, views: Views, labels: Tensor, epoch: int, step: int) -> Tensor:
        """One step of the optimiser; returns (2,): the loss, and the gradient's norm before it is clipped."""
        share = (epoch * self.steps + step) / (self.training.epochs * self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate(share)
        loss = self.objective.loss(views, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.weights, 5.0)
        if self.device.type == "cpu" and not (loss.isfinite() and norm.isfinite()):  # a GPU would have to wait for it
            raise FloatingPointError(not_finite(self.objective, views, labels, f"epoch {epoch + 1}, step {step + 1}"))
        self.optimizer.step()
        self.objective.after_step(share)
        return torch.stack([loss.detach(), norm])


def not_finite(objective: Objective, views: Views, labels: Tensor, place: str) -> str:
    """A sentence on what is not a finite number in a step: input, weight, layer, loss or gradient; device and precision."""
    inputs = {f"{name} of view {i + 1}": value for i, view in enumerate(views) for name, value in view.items()}
    what = first_not_finite(objective, inputs, lambda net: net.loss(views, labels)) or "the loss or a gradient"
    halves = sorted({m.bfloat16 for m in objective.modules() if isinstance(m, DanceEncoder)})
    precision = "bfloat16" if True in halves else "float32"
    return f"{place}: {what} is not a finite number (on {labels.device.type}, in {precision})"


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
    files.write_tensors(path, tensors, {"stamp": stamp, "history": json.dumps(history)})


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


@full_precision()
@torch.inference_mode()
def encode(encoder: nn.Module, pieces: PieceSet, rows=None, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """(hidden, z) of pieces on the CPU, float32: the frozen features, and the MLP's output, (N, H) and (N, D).

    Batches of 64 stay in a processor's cache: of 256, a piece takes half as long again.
    """
    rows = np.arange(len(pieces)) if rows is None else np.asarray(rows)
    encoder.eval()
    hidden, z = [], []
    for start in range(0, len(rows), batch_size):
        h = encoder.hidden(pieces.batch(rows[start : start + batch_size]))
        hidden.append(h.cpu())
        z.append(encoder.last(h).cpu())
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
