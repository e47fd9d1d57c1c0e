"""A step of pre-training that a GPU repeats without the host: tried on the CPU, operation by operation."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from tiny import piece_set
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dancemvp_core import device
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining import methods, networks, training
from dancemvp_core.pretraining.training import Hooks

# One for each objective, and the augmentation with the most parts.
KINDS = (
    "stgcn-lstm-infonce-skeletonclr-strong", "stgcn-lstm-supcon", "cnn1d-none-crossentropy", "res18-lstm-moco", "tx-lstm-svt",
    "none-melody-reconstruction", "stgcn-lstm-synchrony",
)  # fmt: skip
HOW = training.Training(epochs=2, batch_size=4, learning_rate=3e-3, same_music=2)


class Tape(TorchDispatchMode):
    """Notes each operation, and repeats it on the same memory with the same numbers, as CUDA does with a graph."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, out, torch.is_grad_enabled()))
        return out

    def replay(self):
        with torch._C._AutoDispatchBelowAutograd():  # the gradients' operations are on the tape themselves
            for function, args, kwargs, out, grad in self.operations:
                with torch.set_grad_enabled(grad):  # an LSTM keeps for its gradient what it computed
                    again = () if function.is_view else function(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=False):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)


class Taped:
    """In the place of ``Recorded``: the first call runs as it is, the second is noted, the others repeat it."""

    def __init__(self, work, generator):
        self.work, self.calls, self.tape = work, 0, Tape()

    def __call__(self):
        self.calls += 1
        if self.calls > 2:
            return self.tape.replay()
        with self.tape if self.calls == 2 else contextlib.nullcontext():
            self.work()


def trained(name, hooks=None):
    """(weights and buffers, history) of two epochs; with the method's own augmentation."""
    torch.manual_seed(0)
    method, pieces = methods.pretrainings()[name], piece_set(trials=1)
    encoder = networks.build_encoder(method, IMPERIALDANCE21, networks.Width((8, 16), 16, 12))
    learner = networks.build_objective(method, encoder, classes=12)
    history = training.train(learner, pieces, HOW, networks.augmentation(name), 1, IMPERIALDANCE21.mirror, hooks)
    return learner.state_dict(), history[["loss", "trivial_loss"]]


@pytest.mark.parametrize("name", KINDS)
def test_a_step_that_is_repeated_without_the_host_gives_the_same_weights(name, monkeypatch):
    expected, history = trained(name)
    monkeypatch.setattr(training, "Recorded", Taped)
    found, again = trained(name)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert again.equals(history)


def test_a_number_that_the_host_changes_from_step_to_step_is_seen(monkeypatch):
    """The tape finds the fault that it is there to find: a rate that is a number, and not a tensor."""
    expected, _ = trained("none-lstm-infonce")
    monkeypatch.setattr(training, "Recorded", Taped)

    class Fixed(training.Loop):
        def compute(self):
            for group in self.optimizer.param_groups:
                group["lr"].fill_(float(group["lr"]))
            super().compute()

    monkeypatch.setattr(training, "Loop", Fixed)
    found, _ = trained("none-lstm-infonce")
    assert not torch.equal(found["encoder.last.weight"], expected["encoder.last.weight"])


def test_a_resumed_run_writes_the_rates_that_its_optimiser_reads(monkeypatch, tmp_path):
    """The optimiser replaces its tensors when it is loaded."""

    def one_epoch(epochs):
        yield from list(epochs)[:1]
        raise KeyboardInterrupt

    expected, _ = trained("none-lstm-infonce")
    monkeypatch.setattr(training, "Recorded", Taped)
    with pytest.raises(KeyboardInterrupt):
        trained("none-lstm-infonce", Hooks(tmp_path / "run.safetensors", progress=one_epoch, checkpoint_every_s=0))
    found, _ = trained("none-lstm-infonce", Hooks(tmp_path / "run.safetensors"))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_weights_stay_as_they_are_from_the_first_step_that_is_not_finite():
    name, pieces = "none-lstm-infonce", piece_set(trials=2)
    pieces.music[:] = float("nan")
    learner = networks.new_objective(name, 0, networks.Width((8, 16), 16, 12), pieces, IMPERIALDANCE21)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    with pytest.raises(FloatingPointError, match="epoch 1, step 1: the input music of view 1"):
        training.train(learner, pieces, HOW, networks.augmentation(name), 1)
    assert all(torch.equal(learner.state_dict()[key], before[key]) for key in before)


def test_on_cuda_the_first_calls_run_beside_and_the_rest_is_one_recording(monkeypatch):
    """The order of the calls, on a stand-in for ``torch.cuda``; what CUDA makes of them only a GPU can show."""
    log = []

    @contextlib.contextmanager
    def within(what):
        log.append(what)
        yield
        log.append("end")

    stream = SimpleNamespace(wait_stream=lambda other: log.append("wait"))
    graph = SimpleNamespace(register_generator_state=lambda g: log.append("generator"), replay=lambda: log.append("replay"))
    cuda = SimpleNamespace(
        current_stream=lambda: stream, Stream=lambda: stream, stream=lambda s: within("beside"), CUDAGraph=lambda: graph,
        graph=lambda g, stream: within("record"),
    )  # fmt: skip
    monkeypatch.setattr(device.torch, "cuda", cuda)
    step = device.Recorded(lambda: log.append("work"), SimpleNamespace(device=torch.device("cuda")))
    for _ in range(device.PLAIN_CALLS):
        step()
    assert log == ["wait", "beside", "work", "end", "wait"] * device.PLAIN_CALLS
    log.clear()
    step(), step()
    assert log == ["generator", "record", "work", "end", "replay", "replay"]
