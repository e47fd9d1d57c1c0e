"""What computes, in which precision, and how to get the same numbers from it twice."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

LEAST_AGREEMENT = 0.9  # cosine between a step's gradient in bfloat16 and in float32; rounding leaves 0.99 and more


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16: NVIDIA GPUs since Ampere, and processors with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Within: kernels that give the same result each time, where a GPU has such kernels.

    On a GPU the process needs CUBLAS_WORKSPACE_CONFIG=:4096:8 in its environment too (the workflow sets it).
    """
    on, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a pass over every new tensor
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(on, warn_only=warn)
        torch.utils.deterministic.fill_uninitialized_memory = fill


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within: float32 is float32, on a GPU too, whose convolutions and LSTMs otherwise round to TF32's 10 bits."""
    with repeatable(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def bfloat16_is_right(net: nn.Module, loss: Callable[[nn.Module], Tensor], switch: Callable[[nn.Module, bool], None]) -> bool:
    """Whether this machine computes the gradient of ``loss(net)`` in bfloat16 rightly: twice the same, and near float32's.

    ``switch(net, on)`` turns bfloat16 on and off. Works on copies; ``net`` is left as it is. It has to be tried, and
    on the very shapes: on some processors some of oneDNN's kernels give values that change from call to call, up to NaN.
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
    """What in a step is the first that is not a finite number, in words; "" where all is finite.

    In this order: an input, a weight, a layer's output, the loss, a gradient; each by its name.
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
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device):
    """Within it PyTorch's random numbers on the CPU and on ``device`` start from the seed; afterwards they go on as before."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(seed)
        yield


def in_full_precision(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A loss that leaves autocast and reads tensors of half precision as float32."""

    @functools.wraps(loss)
    def full(*arguments, **options) -> Tensor:
        half = (torch.bfloat16, torch.float16)
        values = [a.float() if isinstance(a, Tensor) and a.dtype in half else a for a in (*arguments, *options.values())]
        device = next(value.device for value in values if isinstance(value, Tensor))
        with torch.autocast(device.type, enabled=False):
            return loss(*values[: len(arguments)], **dict(zip(options, values[len(arguments) :], strict=True)))

    return full
