"""The floor (shortest possible time) of a training step and of an inference batch on this device.

    python benchmarks/roofline.py        prints the table of all encoders on this device

The work is computed from the model on the meta device, without running it. Operations are those of matrix products and
convolutions (a multiplication and an addition are two operations). Bytes are those that must move even with perfect fusion:
weights, input and output once; in training also the gradients, Adam's two moments, and every tensor that is kept for the
backward pass, written once and read once. The rates are measured: the best rates of large matrix products and of long copies.
The floor is the larger of operations / rate and bytes / rate. Augmentation does not count.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dancemvp_core import device
from dancemvp_core.device import has_bfloat16
from dancemvp_core.models import encoders

FLOAT, ADAM = 4, 7  # bytes of a weight; an AdamW step reads weight, gradient and two moments, and writes all but the gradient
BYTES = {"float32": 4, "bfloat16": 2}
TRAINING_BATCH, INFERENCE_BATCH = 16, 32


@dataclass(frozen=True)
class Rates:
    """The best rates of the device: operations per second for each precision, copied bytes per second (read plus written)."""

    operations: dict[str, float]
    copied: float


@dataclass(frozen=True)
class Work:
    """The operations and bytes of a call."""

    operations: float
    bytes: float

    def floor_s(self, rates: Rates, precision: str) -> float:
        """Return the shortest possible seconds of any implementation in this precision."""
        return max(self.operations / rates.operations[precision], self.bytes / rates.copied)

    def bound(self, rates: Rates, precision: str) -> str:
        """Return what limits the time: "operations" or "bytes"."""
        return "operations" if self.operations / rates.operations[precision] > self.bytes / rates.copied else "bytes"


def mixed_precision(device: torch.device):
    """Return the context of bfloat16 autocast if the device has it, else of float32, as in pre-training inside ST-GCN."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def precision_used(device: torch.device) -> str:
    """Return the precision of ``mixed_precision`` on this device."""
    return "bfloat16" if has_bfloat16(device) else "float32"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def best_rate(work, amount: float, device: torch.device, runs: int) -> float:
    """Return the best rate: the amount divided by the shortest time of ``runs`` calls, after two that do not count."""
    seconds = []
    for _ in range(2 + runs):
        started = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return amount / min(seconds[2:])


@torch.inference_mode()
def measure(device: torch.device, quick: bool = False) -> Rates:
    """Return the device's rates of matrix products and copies; ``quick``: with small shapes, only for a test."""
    sides = [256] if quick else [1024, 2048] if device.type == "cpu" else [4096, 8192]
    elements = 1 << (20 if quick else 26 if device.type == "cpu" else 29)
    runs = 3 if quick else 9
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # cuDNN's convolutions use TF32 too
    operations = {}
    for name in dict.fromkeys(("float32", precision_used(device))):
        rates = []
        for side in sides:
            a, b = (torch.randn(side, side, device=device, dtype=getattr(torch, name)) for _ in range(2))
            out = torch.empty_like(a)
            rates.append(best_rate(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), 2 * side**3, device, runs))
        operations[name] = max(rates)
    torch.set_float32_matmul_precision("highest")  # PyTorch's default
    source = torch.ones(elements, device=device)
    target = torch.empty_like(source)
    return Rates(operations, best_rate(lambda: target.copy_(source), 2 * FLOAT * elements, device, runs))


def _on_meta(network: nn.Module, inputs):
    """Return a copy of network and inputs on the meta device, which has shapes but no numbers."""
    inputs = {name: x.to("meta") for name, x in inputs.items()} if isinstance(inputs, dict) else inputs.to("meta")
    return copy.deepcopy(network).to("meta"), inputs


def _numbers(inputs) -> int:
    return sum(x.numel() for x in inputs.values()) if isinstance(inputs, dict) else inputs.numel()


def inference(network: nn.Module, inputs, precision: str) -> Work:
    """Return the work of one forward pass in evaluation mode; ``inputs`` is a tensor or a dict of tensors."""
    network, inputs = _on_meta(network, inputs)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        out = network.eval()(inputs)
    weights = sum(p.numel() for p in network.parameters())
    return Work(counter.get_total_flops(), FLOAT * (weights + _numbers(inputs)) + BYTES[precision] * out.numel())


def training_step(network: nn.Module, inputs, precision: str) -> Work:
    """Return the work of a forward pass, a backward pass and an AdamW step; ``inputs`` has both views of the batch."""
    network, inputs = _on_meta(network, inputs)
    kept: dict[int, Tensor] = {}  # storage -> tensor, so that each storage counts once

    def keep(x: Tensor) -> Tensor:
        kept.setdefault(x.untyped_storage()._cdata, x)
        return x

    own = {p.untyped_storage()._cdata for p in network.parameters()}
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        network.train()(inputs).sum().backward()
    saved = sum(x.untyped_storage().nbytes() // x.element_size() for key, x in kept.items() if key not in own)
    weights = sum(p.numel() for p in network.parameters())
    # the weights are read in both passes, the gradients are written
    moved = FLOAT * ((3 + ADAM) * weights + _numbers(inputs)) + 2 * BYTES[precision] * saved
    return Work(counter.get_total_flops(), moved)


def table(rates: Rates, precision: str, frames: int = 100) -> pd.DataFrame:
    """Return a table with one row for each encoder at full width.

    Its columns are the parameters, and operations, bytes and floor of a training step and of an inference batch.
    """
    rows = []
    for name, (modalities, _) in encoders.ENCODERS.items():
        for modality in modalities:
            network = encoders.build(name, modality)
            shape = (3, frames, 21) if modality == "motion" else (encoders.MUSIC_FEATURES, frames)
            step = training_step(network, torch.empty(2 * TRAINING_BATCH, *shape, device="meta"), precision)
            batch = inference(network, torch.empty(INFERENCE_BATCH, *shape, device="meta"), precision)
            row = {"encoder": name, "modality": modality, "parameters": sum(p.numel() for p in network.parameters())}
            for what, work in (("step", step), ("inference", batch)):
                row |= {
                    f"{what}_gflop": work.operations / 1e9,
                    f"{what}_mb": work.bytes / 1e6,
                    f"{what}_floor_ms": 1e3 * work.floor_s(rates, precision),
                    f"{what}_bound": work.bound(rates, precision),
                }
            rows.append(row)
    return pd.DataFrame(rows)


def describe(rates: Rates) -> str:
    """Return the measured rates in one line."""
    operations = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.operations.items())
    return f"matrix products: {operations}; copies: {rates.copied / 1e9:.1f} GB/s"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="rates from small shapes: a test, not a measurement")
    rates = measure(device.pick_device(), parser.parse_args().quick)
    precision = precision_used(device.pick_device())
    print(f"{describe(rates)}\nA training step of {TRAINING_BATCH} pieces in two views and an inference batch of "
          f"{INFERENCE_BATCH}, 100 frames, {precision}:")  # fmt: skip
    print(table(rates, precision).to_string(index=False, float_format="{:.3g}".format))
