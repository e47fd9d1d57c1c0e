"""A fake GPU for machines without one: its tensors say ``gpu:0``, compute on the CPU, and refuse what CUDA refuses.

``install()`` adds the device ``gpu`` to PyTorch for the rest of the process; tensors come to it by ``.to("gpu")`` or
``device="gpu"``. It raises ``DeviceError`` where an operation mixes devices, or draws on one device with another's
generator. ``LOG`` notes what a profiler would show: where the host waits for the device, what is copied to it on the
way, and which encoders and fits are left on the CPU.

What it cannot show:

- the numbers of CUDA's kernels, their order of summation, whether they repeat (cuDNN's LSTM, atomic additions);
- mixed precision, for autocast changes nothing on it, and inference mode, which is ``no_grad`` here;
- that streams and asynchronous copies are in order, that the memory suffices, how long anything takes;
- what only a CUDA kernel refuses (a type, a shape, an alignment), and what CUDA reports late (an index out of range);
- waits inside a kernel that PyTorch does not list as an operation; several GPUs.
"""

import contextlib
import sys
from collections import Counter

import safetensors.torch
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "gpu"
CPU = torch.device("cpu")
COPIES = {"aten::_to_copy", "aten::copy_"}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
# The host needs a value or a shape that the device has yet to compute.
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
         "aten::masked_select", "aten::equal", "aten::is_nonzero", "aten::_linalg_eigh"}  # fmt: skip
HEAVY = {"aten::convolution", "aten::mkldnn_rnn_layer", "aten::_fused_adamw_"}  # only encoders and fits do these
# Beside its own tensors CUDA takes a CPU tensor of no dimensions as a number, but not here.
NO_NUMBERS = ("aten::cat", "aten::stack", "aten::_fused_")
DRAWING = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial")


class DeviceError(RuntimeError):
    """What CUDA would refuse."""


class Log:
    """``kernels`` started on the device; the others count (operation, ``place()``), ``copied`` what came to the device."""

    def __init__(self):
        self.waits, self.copied, self.heavy_on_cpu, self.kernels = Counter(), Counter(), Counter(), 0


LOG = Log()


class GpuTensor(torch.Tensor):
    """A tensor of the device: a shell around ``inner``, which is on the CPU and as large."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "layout": inner.layout}
        return cls._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device=torch.device(NAME, 0), **layout)

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"GpuTensor({self.inner})"

    def numpy(self, force=False):
        raise DeviceError(f"cannot convert a tensor of {NAME} to numpy, at {place()}: copy it to the host first")

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


class GpuMode(TorchDispatchMode):
    """Sees every operation: ``torch.zeros(3, device="gpu")`` has no tensor that would call the device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


def place() -> str:
    """The package's lines that are at work, the innermost first, as "encoders.py:77 < pretrain.py:205"."""
    frame, lines = sys._getframe(1), []
    while frame:
        file = frame.f_code.co_filename
        if "/dancemvp_core/" in file:
            lines.append(f"{file.rpartition('/')[2]}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(lines) or "no line of the package"


def each(change, x):
    """``x`` with ``change`` made to all that its tuples, lists and dicts hold; PyTorch's ``tree_map`` is far slower."""
    if isinstance(x, tuple | list):
        return type(x)([each(change, part) for part in x])
    return {key: each(change, part) for key, part in x.items()} if isinstance(x, dict) else change(x)


def compute(function, args, kwargs):
    """One operation: refuse it, or compute it on the CPU and put into a shell what belongs to the device."""
    name, target, on_gpu, on_cpu = function._schema.name, kwargs.get("device"), [], []

    def bare(x):
        if isinstance(x, torch.Tensor):
            (on_gpu if isinstance(x, GpuTensor) else on_cpu).append(x)
        return x.inner if isinstance(x, GpuTensor) else x

    given, args, kwargs = args, each(bare, args), each(bare, kwargs)
    to_gpu = bool(on_gpu) if target is None else torch.device(target).type == NAME
    if name == "aten::copy_":
        to_gpu = isinstance(given[0], GpuTensor)
    if name in COPIES:
        if to_gpu and on_cpu:
            LOG.copied[name, place()] += 1
        elif on_gpu and not to_gpu:
            LOG.waits[name, place()] += 1
    elif on_gpu:
        refuse_mixed(name, given, on_cpu)
        by_mask = name in INDEXING and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITS or by_mask:
            LOG.waits[name, place()] += 1
    elif name in HEAVY:
        LOG.heavy_on_cpu[name, place()] += 1
    LOG.kernels += to_gpu and not function.is_view

    if target is not None:
        kwargs["device"] = CPU
    own_numbers = to_gpu and torch.Tag.nondeterministic_seeded in function.tags
    with DEVICE.random_numbers() if own_numbers else contextlib.nullcontext():
        out = INSTEAD.get(name, function)(*args, **kwargs)
    if not to_gpu:
        return out
    shells = {id(x.inner): x for x in on_gpu}  # what works in place returns the very tensor that it was given

    def shell(x):
        return x if not isinstance(x, torch.Tensor) else shells[id(x)] if id(x) in shells else GpuTensor(x)

    return each(shell, out)


def refuse_mixed(name: str, args, on_cpu: list[torch.Tensor]) -> None:
    """Raise where an operation on the device also reads or writes these tensors of the CPU."""
    on_device = isinstance(args[0], GpuTensor)
    if name in INDEXING and on_device:  # CUDA copies an index by itself
        indices = [i for i in args[1] if i is not None and not isinstance(i, GpuTensor)]
        on_cpu = [x for x in on_cpu if not any(x is i for i in indices)]
        if indices:
            LOG.copied[f"{name}, its index", place()] += 1
    written = name.endswith("_") and isinstance(args[0], torch.Tensor) and not on_device
    if written or any(x.dim() > 0 or name.startswith(NO_NUMBERS) for x in on_cpu):
        raise DeviceError(f"{name}: expected all tensors on the same device, found {NAME} and cpu, at {place()}")


# --- an LSTM's step, which PyTorch asks of a GPU as one operation and has no CPU code for ---------------------------


def lstm_step(input_gates, hidden_gates, cell, input_bias=None, hidden_bias=None):
    """(hidden state, cell state, the gates for the way back)."""
    biases = 0 if input_bias is None else input_bias + hidden_bias
    take, keep, fresh, show = (input_gates + hidden_gates + biases).chunk(4, dim=1)
    gates = take.sigmoid(), keep.sigmoid(), fresh.tanh(), show.sigmoid()
    after = gates[1] * cell + gates[0] * gates[2]
    return gates[3] * after.tanh(), after, torch.cat(gates, dim=1)


def lstm_step_back(by_hidden, by_after, cell, after, gates, has_bias):
    """Gradients by the gates, the cell state before, and the bias."""
    take, keep, fresh, show = gates.chunk(4, dim=1)
    by_hidden = torch.zeros_like(after) if by_hidden is None else by_hidden
    through = by_hidden * show * (1 - after.tanh() ** 2) + (0 if by_after is None else by_after)
    by_gates = torch.cat([
        through * fresh * take * (1 - take), through * cell * keep * (1 - keep), through * take * (1 - fresh**2),
        by_hidden * after.tanh() * show * (1 - show),
    ], dim=1)  # fmt: skip
    return by_gates, through * keep, by_gates.sum(dim=0) if has_bias else None


INSTEAD = {"aten::_thnn_fused_lstm_cell": lstm_step, "aten::_thnn_fused_lstm_cell_backward_impl": lstm_step_back}

# --- the device ------------------------------------------------------------------------------------------------------


class Device(_DummyBackendModule):
    """``torch.gpu``, which PyTorch asks about the device. Its random numbers are its own, apart from the CPU's."""

    def __init__(self):
        self.state = torch.get_rng_state()

    @contextlib.contextmanager
    def random_numbers(self):
        """Within it the CPU draws the device's random numbers."""
        before = torch.get_rng_state()
        torch.set_rng_state(self.state)
        yield
        self.state = torch.get_rng_state()
        torch.set_rng_state(before)

    def manual_seed_all(self, seed):
        self.state = CpuGenerator().manual_seed(seed).get_state()

    def get_rng_state(self, device=None):
        return self.state.clone()

    def set_rng_state(self, state, device=None):
        self.state = state.clone()

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]


DEVICE = Device()
CpuGenerator = torch.Generator


class Generator(CpuGenerator):
    """``torch.Generator`` that knows the device too; the numbers are the CPU's."""

    def __new__(cls, device="cpu"):
        self = super().__new__(cls)
        self.on = torch.device(device)
        return self

    def __init__(self, device="cpu"):
        pass

    @property
    def device(self):
        return self.on


def drawing(draw):
    """A function of ``torch`` that draws random numbers, and refuses a generator of another device."""

    def drawn(*args, **kwargs):
        out, generator = draw(*args, **kwargs), kwargs.get("generator")
        if generator is not None and generator.device.type != out.device.type:
            found = f"{generator.device.type} for {out.device.type}, at {place()}"
            raise DeviceError(f"{draw.__name__}: expected a generator of the same device, found {found}")
        return out

    return drawn


def install() -> torch.device:
    """Add the device to this process, for good; before the package is imported. Returns ``gpu:0``."""
    _setup_privateuseone_for_python_backend(NAME, DEVICE)
    torch.autograd.set_multithreading_enabled(False)  # another thread would not see the mode
    # A shell cannot be an inference tensor.
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else torch.enable_grad()
    torch.Generator = Generator
    for name in DRAWING:
        setattr(torch, name, drawing(getattr(torch, name)))
    read = safetensors.torch.load_file  # knows real devices only
    safetensors.torch.load_file = lambda file, device="cpu": {k: v.to(device) for k, v in read(file).items()}
    # A list that is an index or a tensor's content is copied below the mode, by these two.
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    autocast = torch.library.Library("_", "IMPL")
    autocast.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    DEVICE.kept = library, autocast  # they end with their objects
    GpuMode().__enter__()
    return torch.device(NAME, 0)


def _empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    return GpuTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source, target, non_blocking=False):
    LOG.copied["a list", place()] += 1
    target.inner.copy_(source)
    return target
