"""The device that computes, its precision, and repeatable results."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

LEAST_AGREEMENT = 0.9  # least cosine of a step's gradients in bfloat16 and float32; with rounding alone it is at least 0.99


# So many calls of ``Recorded`` run as they are. Without end if DANCEMVP_GRAPH is 0, for a GPU that cannot record a step.
PLAIN_CALLS = math.inf if os.environ.get("DANCEMVP_GRAPH") == "0" else 3


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies in bfloat16: NVIDIA GPUs since Ampere, processors with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Context in which PyTorch uses kernels that give the same result each time, where a GPU has such kernels.

    On a GPU, the environment of the process must also contain CUBLAS_WORKSPACE_CONFIG=:4096:8 (the workflow sets it).
    ``torch.use_deterministic_algorithms`` does the same, but it first imports PyTorch's compiler, which takes seconds.
    """
    before = torch.get_deterministic_debug_mode()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid; it costs one pass over each new tensor
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill


@contextlib.contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Context in which the processor takes numbers below 1.2e-38 (denormal in float32) as zero, where it can.

    It computes with them many times slower. An LSTM of many steps has them in its gradient: eight layers of 549 steps, as
    released, took 13 s for a backward pass, and 1.3 s without them.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Context of full float32 precision. Without it, a GPU's convolutions and LSTMs round to TF32's 10 bits.

    Its matrix products do so too if somebody has asked for it in this process, with PyTorch's old settings or its new ones.
    """
    parts = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "ieee"
        with repeatable():
            yield
    finally:
        for part, precision in zip(parts, before, strict=True):
            part.fp32_precision = precision


class Recorded:
    """Work that a GPU repeats without the host: on CUDA its kernels are recorded once, as a graph, and replayed in each call.

    ``work`` takes and returns nothing. It reads and writes tensors that stay where they are, and the host reads none of their
    values. A replay repeats the same kernels on the same memory; numbers that the host passed in the recording stay as they
    were. The first calls run as they are (``PLAIN_CALLS``), because libraries prepare themselves in them. Random numbers from
    ``generator`` go on from call to call. On other devices, each call runs as it is.
    """

    def __init__(self, work: Callable[[], None], generator: torch.Generator):
        self.work, self.generator, self.calls = work, generator, 0
        self.stream = self.graph = None

    def __call__(self) -> None:
        self.calls += 1
        if self.graph is not None:
            self.graph.replay()
        elif self.generator.device.type != "cuda":
            self.work()
        elif self.calls <= PLAIN_CALLS:
            self._beside()
        else:
            self.graph = self._recorded()
            self.graph.replay()  # the recording itself computes nothing

    def _beside(self) -> None:
        """Run the work on a stream of its own: what it leaves behind must not wait for the main one in the recording."""
        main = torch.cuda.current_stream()
        self.stream = self.stream or torch.cuda.Stream()
        self.stream.wait_stream(main)
        with torch.cuda.stream(self.stream):
            self.work()
        main.wait_stream(self.stream)

    def _recorded(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, stream=self.stream):
            self.work()
        return graph


def bfloat16_is_right(net: nn.Module, loss: Callable[[nn.Module], Tensor], switch: Callable[[nn.Module, bool], None]) -> bool:
    """Return whether this machine computes the gradient of ``loss(net)`` correctly in bfloat16.

    It is correct if two calls give the same gradient and the gradient is close to float32's (``LEAST_AGREEMENT``).
    ``switch(net, on)`` turns bfloat16 on and off. The function works on copies and does not change ``net``. It needs the
    shapes of the training: on some processors, some oneDNN kernels give values that change from call to call, up to NaN.
    """

    def gradient(on: bool) -> Tensor:
        trial = copy.deepcopy(net)
        switch(trial, on)
        loss(trial).backward()
        return torch.cat([p.grad.flatten() for p in trial.parameters() if p.grad is not None])

    first, second, full = gradient(True), gradient(True), gradient(False)
    agreement = torch.cosine_similarity(first, full, dim=0)
    return bool(torch.equal(first, second) and agreement >= LEAST_AGREEMENT)


def first_not_finite(net: nn.Module, inputs: dict[str, Tensor], loss: Callable[[nn.Module], Tensor]) -> str:
    """Return the name of the first value in a step that is not a finite number; "" if all values are finite.

    The function checks, in this order: inputs, weights, outputs of layers, the loss, gradients.
    """
    for name, value in inputs.items():
        if not value.isfinite().all():
            return f"the input {name}"
    for name, value in net.named_parameters():
        if not value.isfinite().all():
            return f"the weight {name}"
    found: list[str] = []

    def look(name: str, layer: nn.Module, output) -> None:
        parts = [output] if isinstance(output, Tensor) else [o for o in output if isinstance(o, Tensor)]
        if not found and not all(part.isfinite().all() for part in parts):
            found.append(f"the output of {name} ({type(layer).__name__})")

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: look(name, layer, output))
        for name, layer in net.named_modules()
    ]
    value = loss(net)
    for hook in hooks:
        hook.remove()
    if found:
        return found[0]
    if not value.isfinite():
        return "the loss"
    net.zero_grad()
    value.backward()
    gradients = [(name, p.grad) for name, p in net.named_parameters() if p.grad is not None]
    return next((f"the gradient of {name}" for name, grad in reversed(gradients) if not grad.isfinite().all()), "")


def pick_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device):
    """Context in which PyTorch's random numbers (CPU and ``device``) start from the seed; it restores their state at the end."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(seed)
        yield


def in_full_precision(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate a loss: it then computes outside autocast and converts half-precision tensors to float32."""

    @functools.wraps(loss)
    def full(*arguments, **options) -> Tensor:
        half = (torch.bfloat16, torch.float16)
        values = [a.float() if isinstance(a, Tensor) and a.dtype in half else a for a in (*arguments, *options.values())]
        device = next(value.device for value in values if isinstance(value, Tensor))
        with torch.autocast(device.type, enabled=False):
            return loss(*values[: len(arguments)], **dict(zip(options, values[len(arguments) :], strict=True)))

    return full
