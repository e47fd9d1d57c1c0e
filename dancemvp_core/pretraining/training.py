"""The training loop of all methods ("Pre-training"): data on the device, two augmented views, resume from a checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from dancemvp_core import code_hash, files
from dancemvp_core.dance.pieces import LABELS, PieceSet
from dancemvp_core.device import (
    Recorded,
    bfloat16_is_right,
    denormals_as_zero,
    first_not_finite,
    full_precision,
    has_bfloat16,
    repeatable,
    seeded,
)
from dancemvp_core.models.encoders import BFLOAT16, DanceEncoder
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.objectives import Objective, Views


@dataclass(frozen=True)
class Training:
    """The training settings. The paper states the batch size and the learning rate.

    The released code has 100 epochs and Adam with weight decay 1e-4 (``released.pretraining.ReleasedTraining``). The profile
    "paper" has the same two numbers. But here the weight decay is decoupled from the gradient (AdamW), the learning rate falls to
    zero, and the gradient of all weights is clipped: we chose this before we had read that code. The effect of the released
    optimiser is a row of released_code.csv.

    ``schedule`` is "constant" or "cosine" (it falls to zero over the run, after a linear warm-up over one tenth of the run).
    In a batch, groups of ``same_music`` pieces share their music (1: random batches). All performances of a choreography
    have the same music. So in a random batch, music alone separates most pairs, and the motion encoder learns little.
    ``least_steps``: if the pieces are so few that ``epochs`` have fewer steps, the run has more epochs.
    """

    epochs: int
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    same_music: int = 1
    least_steps: int = 0

    def on(self, pieces: int) -> Training:
        """Return the settings for a number of pre-train pieces: with the epochs that ``least_steps`` need."""
        steps = pieces // min(self.batch_size, pieces)
        return replace(self, epochs=max(self.epochs, math.ceil(self.least_steps / steps)))

    def rate(self, share: float) -> float:
        """Return the learning rate after a share 0..1 of the steps. Raises ValueError for an unknown schedule."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule != "cosine":
            raise ValueError(f"schedule {self.schedule!r}: expected constant or cosine")
        warm = min(1.0, (share + 1e-3) / 0.1)
        return self.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * min(share, 1.0)))

    def optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of the weights: Adam with decoupled weight decay."""
        return torch.optim.AdamW(weights, self.learning_rate, weight_decay=self.weight_decay, fused=True, capturable=True)

    def clip(self, objective: nn.Module, weights: list[nn.Parameter]) -> Tensor:
        """Clip the norm of the gradient of all weights at 5, and return the norm before."""
        return nn.utils.clip_grad_norm_(weights, 5.0)


def use_bfloat16(objective: nn.Module, on: bool) -> None:
    """Turn bfloat16 on or off for the encoders of an objective."""
    for module in objective.modules():
        if isinstance(module, DanceEncoder):
            module.bfloat16 = on


def precision_for(objective: Objective, views: Views, labels: Tensor) -> str:
    """Return "bfloat16" if an encoder may train in it (``encoders.BFLOAT16``) and the device computes this batch correctly.

    Otherwise return "float32".
    """
    device = labels.device
    nets = [net for m in objective.modules() if isinstance(m, DanceEncoder) for net in m.encoders.values()]
    wanted = has_bfloat16(device) and any(device.type in BFLOAT16.get(type(net), ()) for net in nets)
    right = wanted and bfloat16_is_right(objective, lambda trial: trial.loss(views, labels), use_bfloat16)
    return "bfloat16" if right else "float32"


def class_codes(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Return each pre-train piece's Task 1 class (choreography x level x primitive) as 0..C-1, -1 for other pieces; and C."""
    own = (table["split"] == "pretrain").to_numpy()
    labels = table.loc[own, ["choreography", "level", "primitive"]].astype(str).fillna("?")
    names = pd.Series(["/".join(row) for row in labels.itertuples(index=False)], dtype=object)
    codes = np.full(len(table), -1)
    codes[own], classes = pd.factorize(names, sort=True)
    return codes, len(classes)


@dataclass(frozen=True)
class Hooks:
    """Additional actions during the training. They do not change the weights.

    ``checkpoint``: a file for the state at the end of an epoch, written at most every ``checkpoint_every_s`` seconds.
    ``watch`` measures the encoder after each epoch. ``progress`` wraps the loop over the epochs.
    """

    checkpoint: Path | None = None
    watch: Callable[[nn.Module], dict] | None = None
    progress: Callable = lambda epochs: epochs
    checkpoint_every_s: float = 60.0


@repeatable()
@denormals_as_zero()
def train(
    objective: Objective,
    pieces: PieceSet,
    training: Training,
    augmentation: Augmentation,
    seed: int,
    mirror=(),
    hooks: Hooks | None = None,
) -> pd.DataFrame:
    """Pre-train ``objective.encoder`` in place on the pre-train pieces, and return a table with one row for each epoch.

    Its columns: epoch, loss, trivial_loss (``Objective.trivial_loss``), learning_rate, precision, seconds, and the measures of
    ``hooks.watch``. Both losses are means over the epoch. ``pieces`` and ``objective`` are on the same device. The same seed on
    the same machine gives the same weights. ``precision_for`` chooses the precision on the first batch. If the checkpoint has
    the same settings, the run continues from it and ends with the same weights as a run without interruption. Raises
    FloatingPointError at the end of an epoch in which a loss or a gradient was not finite; the message names the step and the
    first value that is not finite. Raises ValueError for fewer than two pre-train pieces.
    """
    hooks = hooks or Hooks()
    training = training.on(max(1, len(pieces.rows("pretrain"))))
    loop = Loop(objective, pieces, training, augmentation, seed, mirror)
    # The state of a generator is valid only on the same kind of device.
    machine = [loop.device.type, has_bfloat16(loop.device)]
    settings = [asdict(training), asdict(augmentation)] if hooks.checkpoint else []
    stamp = json.dumps([settings, seed, machine, pieces.digest, code_hash.stamp(__name__)]) if hooks.checkpoint else ""
    state = (objective, loop.optimizer, loop.generator, stamp)
    history = resume(hooks.checkpoint, *state) if hooks.checkpoint else []
    precision = history[-1]["precision"] if history else loop.precision(seed)
    use_bfloat16(objective, precision == "bfloat16")
    saved = time.monotonic()
    for epoch in hooks.progress(range(len(history), training.epochs)):
        started = time.perf_counter()
        with seeded(seed * training.epochs + epoch, loop.device):  # dropout draws the same in a resumed run
            loss, trivial = loop.epoch(epoch)
        row = {"epoch": epoch + 1, "loss": loss, "trivial_loss": trivial}
        row |= {"learning_rate": training.rate((epoch + 1) / training.epochs), "precision": precision}
        row |= {"seconds": time.perf_counter() - started}
        history.append(row | (hooks.watch(objective.encoder) if hooks.watch else {}))
        if hooks.checkpoint and time.monotonic() - saved >= hooks.checkpoint_every_s:
            save_checkpoint(hooks.checkpoint, *state, history)
            saved = time.monotonic()
    objective.eval()
    return pd.DataFrame(history)


class Loop:
    """The steps of a pre-training. Data, optimiser and random state are all on the device of the pieces.

    For each step, the host writes the rows, the learning rate and the pace to tensors; it reads ``sums`` at the end of an epoch.
    So a GPU can repeat a recorded step (``device.Recorded``). From the first step with a loss or a gradient that is not finite,
    the weights stay as they are, so that its cause can be named.
    """

    def __init__(self, objective: Objective, pieces: PieceSet, training: Training, augmentation: Augmentation, seed: int, mirror):
        rows = pieces.rows("pretrain")
        if len(rows) < 2:
            raise ValueError(f"{len(rows)} pre-train pieces: InfoNCE needs at least two")
        self.objective, self.pieces, self.training, self.augmentation = objective, pieces, training, augmentation
        self.device = pieces.motion.device
        self.mirror = torch.as_tensor(mirror, dtype=torch.long, device=self.device)
        self.codes = torch.as_tensor(class_codes(pieces.table)[0], device=self.device)
        self.batch_size = min(training.batch_size, len(rows))
        self.steps = len(rows) // self.batch_size
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self.rows = torch.as_tensor(rows, device=self.device)
        self.chosen = self.rows[: self.batch_size].clone()
        self.pace, self.stopped = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.sums = torch.zeros(3, dtype=torch.float64, device=self.device)  # loss, trivial loss, steps until it stopped
        self.weights = [p for p in objective.parameters() if p.requires_grad]
        self.optimizer = training.optimizer(self.weights)
        self.optimizer.found_inf = self.stopped  # as GradScaler's: where it is 1, a step changes nothing
        precision = torch.float32 if self.device.type == "cuda" else torch.float64  # CUDA's optimiser reads no other
        for group in self.optimizer.param_groups:
            group["lr"] = torch.zeros((), dtype=precision, device=self.device)
        self.step = Recorded(self.compute, self.generator)

    def views(self, chosen: Tensor, generator: torch.Generator) -> Views:
        """Return two augmented views of the pieces in some rows."""
        batch = self.pieces.batch(chosen)
        return self.augmentation(batch, generator, self.mirror), self.augmentation(batch, generator, self.mirror)

    def precision(self, seed: int) -> str:
        """Return the precision of the training: ``precision_for`` on a first batch, which is not part of the training."""
        self.objective.train()
        first = self.rows[: self.batch_size]
        views = self.views(first, torch.Generator(device=self.device).manual_seed(seed))
        return precision_for(self.objective, views, self.codes[first])

    def epoch(self, number: int) -> tuple[float, float]:
        """Train for one pass over the pre-train pieces, and return the means of the loss and of its trivial value."""
        self.objective.train()
        self.sums.zero_()
        order = shuffle(self.rows, self.pieces.windows[self.rows], self.training.same_music, self.generator)
        batches = order[: self.steps * self.batch_size].view(self.steps, -1)
        steps = self.training.epochs * self.steps
        for step, chosen in enumerate(batches):
            share = (number * self.steps + step) / steps
            self.chosen.copy_(chosen)
            self.pace.fill_(self.objective.pace(share, steps))
            for group in self.optimizer.param_groups:
                group["lr"].fill_(self.training.rate(share))
            self.step()
        loss, trivial, finite = self.sums.tolist()
        if finite < self.steps:
            failed = batches[int(finite)]
            place = f"epoch {number + 1}, step {int(finite) + 1}"
            raise FloatingPointError(not_finite(self.objective, self.views(failed, self.generator), self.codes[failed], place))
        return loss / self.steps, trivial / self.steps

    def compute(self) -> None:
        """Make one step with the chosen rows: two views, the loss and its gradient, the optimiser, the objective's own update."""
        views, labels = self.views(self.chosen, self.generator), self.codes[self.chosen]
        loss = self.objective.loss(views, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self.training.clip(self.objective, self.weights)
        self.stopped.logical_or_(~(loss.detach() + norm).isfinite())
        self.optimizer.step()
        self.objective.after_step(self.pace)
        values = loss.detach(), self.objective.trivial_loss(views, labels), 1 - self.stopped
        for total, value in zip(self.sums, values, strict=True):
            total.add_(value)


def not_finite(objective: Objective, views: Views, labels: Tensor, place: str) -> str:
    """Return a sentence that names the first value of a step that is not finite, the device and the precision."""
    inputs = {f"{name} of view {i + 1}": value for i, view in enumerate(views) for name, value in view.items()}
    what = first_not_finite(objective, inputs, lambda net: net.loss(views, labels)) or "the loss or a gradient"
    halves = sorted({m.bfloat16 for m in objective.modules() if isinstance(m, DanceEncoder)})
    precision = "bfloat16" if True in halves else "float32"
    return f"{place}: {what} is not a finite number (on {labels.device.type}, in {precision})"


def shuffle(rows: Tensor, windows: Tensor, together: int, generator: torch.Generator) -> Tensor:
    """Return rows (N,) in random order, in groups of up to ``together`` rows that have the same music in ``windows`` (N,)."""
    order = torch.randperm(len(rows), generator=generator, device=rows.device)
    if together == 1:
        return rows[order]
    order = order[torch.argsort(windows[order], stable=True)]
    window = windows[order].contiguous()
    rank = torch.arange(len(order), device=rows.device) - torch.searchsorted(window, window)
    run = torch.unique(window * len(order) + rank // together, return_inverse=True)[1]
    place = torch.rand(int(run.max()) + 1, generator=generator, device=rows.device)
    return rows[order[torch.argsort(place[run], stable=True)]]


def save_checkpoint(path: Path, objective, optimizer, generator, stamp: str, history: list[dict]) -> None:
    """Write model, optimiser, random state and history to one safetensors file, which replaces the old one completely."""
    tensors = {f"model.{k}": v for k, v in objective.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in state.items()}
    tensors["generator"] = generator.get_state()
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    files.write_tensors(path, tensors, {"stamp": stamp, "history": json.dumps(history)})


def resume(path: Path, objective, optimizer, generator, stamp: str) -> list[dict]:
    """Restore the state that ``save_checkpoint`` wrote, and return the history of its epochs.

    Returns [] and restores nothing if there is no file or if its ``stamp`` is another one.
    """
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
            if value.ndim:  # the fused optimiser needs the memory order of the weight
                value = torch.empty_like(weights[int(i)]).copy_(value)
            state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.set_state(tensors["generator"])
    return history


@full_precision()
@torch.inference_mode()
def encode(encoder: nn.Module, pieces: PieceSet, rows=None, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """Return (hidden, z) of pieces on the CPU, float32: the frozen features (N, H) and the MLP's output (N, D).

    Pieces share their music, so a ``DanceEncoder`` encodes each music window once. Batches of 64 pieces fit into a CPU's
    cache; with batches of 256, a piece takes 1.5 times as long.
    """
    rows = np.arange(len(pieces)) if rows is None else np.asarray(rows)
    encoder.eval()
    hidden, z = [], []
    windows, place = np.unique(pieces.table["window"].to_numpy()[rows], return_inverse=True)
    music = pieces.music[windows].split(batch_size) if "music" in getattr(encoder, "encoders", ()) else ()
    heard = [torch.cat([encoder.encode("music", {"music": part}) for part in music])] if music else []
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        h = encoder.hidden(pieces.batch(rows[part]), *(q[place[part]] for q in heard))
        hidden.append(h.cpu())
        z.append(encoder.last(h).cpu())
    return torch.cat(hidden), torch.cat(z)


def nearest_neighbour_accuracy(z, table: pd.DataFrame, neighbours: int = 5) -> dict[str, float]:
    """Return the accuracy (0..1) of a k-NN classifier (cosine) on features ``z`` (N, D), for each label: {"knn_<label>": ...}.

    Performances with an even number are the support and those with an odd number the query, so that no piece is its own
    neighbour. A label with fewer than two values is left out.
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
