"""The same numbers on every processor and in every process, and what is done where one cannot give them."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny import piece_set
from torch import nn

from dancemvp_core import device
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models import encoders, losses
from dancemvp_core.pretraining import methods, networks, training
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.runs import profiles

CPU = torch.device("cpu")
HAS_BFLOAT16 = device.has_bfloat16(CPU)
PRETRAININGS = methods.pretrainings()
# Every encoder on every modality that it reads, and every objective.
EACH_KIND = (
    "stgcn-lstm-infonce", "stgcn-lstm-supcon", "tx-tx-infonce", "tx-lstm-svt", "res18-res18-infonce", "res18-lstm-moco",
    "res18-lstm-crossentropy", "res50-res50-infonce", "cnn1d-none-crossentropy", "none-melody-reconstruction",
    "stgcn-lstm-synchrony",
)  # fmt: skip


# --- bfloat16 ------------------------------------------------------------------------------------------------------


class Trained(nn.Module):
    """A linear layer whose gradient in bfloat16 is spoilt in the way named."""

    def __init__(self, fault):
        super().__init__()
        self.layer, self.fault, self.on = nn.Linear(20, 20), fault, False

    def forward(self, x):
        out = self.layer(x)
        if self.on and self.fault == "changes":
            out = out + 1e-6 * torch.rand_like(out)
        if self.on and self.fault == "nan":
            out = out * torch.where(torch.arange(20) == 3, torch.nan, 1.0)
        if self.on and self.fault == "wrong":
            out = out.roll(1, dims=1)
        if self.on and self.fault == "rounded":
            out = out + 0.01 * out.detach().sin()
        return (out - x.roll(3, dims=1)).square().mean()


@pytest.mark.parametrize("fault, right", [("none", True), ("rounded", True), ("changes", False), ("nan", False), ("wrong", False)])
def test_bfloat16_is_used_only_where_it_is_shown_to_be_right(fault, right):
    torch.manual_seed(0)
    net, x = Trained(fault), torch.randn(16, 20)
    before = net.layer.weight.clone()

    def switch(trial, on):
        trial.on = on

    assert device.bfloat16_is_right(net, lambda trial: trial(x), switch) is right
    assert net.on is False and torch.equal(net.layer.weight, before) and net.layer.weight.grad is None


def test_a_device_without_bfloat16_trains_in_float32(monkeypatch):
    monkeypatch.setattr(training, "has_bfloat16", lambda _: False)
    learner = objective("stgcn-lstm-infonce")
    history = training.train(learner, piece_set(trials=2), training.Training(1, 8), Augmentation(), 0)
    assert history["precision"].tolist() == ["float32"]


def test_only_the_encoders_that_may_use_bfloat16_do(monkeypatch):
    """Autocast is on inside ST-GCN while training, and nowhere else: not in a ResNet, the MLP or the loss."""
    monkeypatch.setattr(training, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(training, "bfloat16_is_right", lambda *_: True)
    learner = objective("stgcn-res18-infonce")
    seen = {}
    for name, layer in learner.named_modules():
        layer.register_forward_hook(
            lambda layer, *_, name=name: seen.setdefault((name, layer.training), set()).add(torch.is_autocast_enabled("cpu"))
        )
    pieces = piece_set(trials=1)
    history = training.train(learner, pieces, training.Training(1, 6), Augmentation(), 0)
    training.encode(learner.encoder, pieces, [0, 1])
    assert history["precision"].tolist() == ["bfloat16"]
    for (name, learns), states in seen.items():
        assert states == {learns and name.startswith("encoder.encoders.motion")}, (name, learns)


def autocast(on):
    return torch.autocast("cpu", torch.bfloat16, enabled=on)


@pytest.mark.parametrize("loss", ["info_nce", "sup_con", "queue_nce", "self_distillation", "score_distribution"])
def test_losses_are_float32_under_autocast(loss):
    """Of well separated classes, where the loss is small and bfloat16's sums would be wrong by most of the gradient."""
    torch.manual_seed(0)
    centres = torch.eye(16)[:8].repeat(2, 1) + 0.05 * torch.randn(16, 16)
    labels, queue = torch.arange(8).repeat(2), torch.nn.functional.normalize(torch.randn(32, 16), dim=1)
    calls = {
        "info_nce": lambda z: losses.info_nce(z[:8], z[8:], 0.1),
        "sup_con": lambda z: losses.sup_con(z, labels, 0.1),
        "queue_nce": lambda z: losses.queue_nce(z[:8], z[8:], queue),
        "self_distillation": lambda z: losses.self_distillation(z[:8], z[8:], z.detach().mean(dim=0)),
        "score_distribution": lambda z: losses.score_distribution(z[:, 0], z[:, 1], z[:, 2].detach()),
    }
    results = []
    for on in (False, True):
        z = centres.clone().requires_grad_()
        with autocast(on):
            value = calls[loss](z)
        value.backward()
        results.append((value.detach(), z.grad))
    assert value.dtype == torch.float32
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    with autocast(True):
        assert calls[loss](centres.bfloat16()).dtype == torch.float32


def test_losses_take_their_tensors_by_name_too():
    z = torch.randn(6, 4)
    with autocast(True):
        assert torch.equal(losses.info_nce(z_a=z.bfloat16(), z_b=z), losses.info_nce(z.bfloat16().float(), z))


def test_every_encoder_says_where_it_may_use_bfloat16():
    assert {type(encoders.build(name, dim=8)) for name in encoders.ENCODERS} == set(encoders.BFLOAT16)


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor does not compute in bfloat16, so nothing here does")
@pytest.mark.parametrize("profile", profiles.PROFILES)
@pytest.mark.parametrize("batch", [2, 9, 16, 32])
def test_every_layer_that_runs_in_bfloat16_is_right(profile, batch):
    """Output and gradients of each convolution and linear layer, bfloat16 twice and against float32, at its real shapes."""
    chosen = profiles.PROFILES[profile]
    torch.manual_seed(0)
    for name, (modalities, _) in encoders.ENCODERS.items():
        for modality in modalities:
            net = encoders.build(name, modality, channels=chosen.channels, dim=chosen.dim)
            if "cpu" not in encoders.BFLOAT16[type(net)]:
                continue
            shape = (2, 3, chosen.piece_frames, 21) if modality == "motion" else (2, encoders.MUSIC_FEATURES, chosen.piece_frames)
            for layer, met in inputs_of(net, shape):
                x = torch.randn(batch * met[0] // 2, *met[1:])
                outputs = [gradients_of(layer, x, on) for on in (True, True, False)]
                for first, second, full in zip(*outputs, strict=True):
                    assert torch.equal(first, second), (name, layer, met)
                    assert (first - full).norm() <= 0.03 * full.norm() + 1e-6, (name, layer, met)


def inputs_of(net, shape):
    """(layer, shape of its input) for every convolution and linear layer of a net on an input of a shape."""
    met = []
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear, encoders.GraphConvolution)

    def note(layer, inputs):
        met.append((layer, inputs[0].shape))

    hooks = [layer.register_forward_pre_hook(note) for layer in net.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        net(torch.randn(shape))
    for hook in hooks:
        hook.remove()
    return met


def gradients_of(layer, x, on):
    """Output of a layer and the gradients of its input and weights, all as float32.

    The output's gradient varies and has one sign. With both signs, the gradient of a bias is a sum that cancels, and rounding
    would be most of it.
    """
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with autocast(on):
        out = layer(x)
    out.float().backward(2 + torch.sin(torch.arange(out.numel(), dtype=torch.float32)).view(out.shape))
    return [out.detach().float(), x.grad, *(p.grad.clone() for p in layer.parameters())]


# --- what is not a finite number -----------------------------------------------------------------------------------


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def loss(self, x):
        return self.second(self.first(x)).square().sum()


def test_the_first_that_is_not_finite_is_named():
    x = torch.ones(2, 3)

    def fault(change, x=x, loss=lambda net: net.loss(x)):
        net = Chain()
        change(net)
        return device.first_not_finite(net, {"x": x}, loss)

    assert fault(lambda net: None) == ""
    assert fault(lambda net: None, x=x * torch.inf) == "the input x"
    assert fault(lambda net: net.second.bias.data.fill_(torch.nan)) == "the weight second.bias"
    assert fault(lambda net: net.first.weight.data.fill_(3e38)) == "the output of first (Linear)"
    assert fault(lambda net: None, loss=lambda net: net.loss(x) * torch.inf) == "the loss"
    assert fault(lambda net: net.first.bias.data.fill_(0), loss=lambda net: (net.loss(x) * 0).sqrt()).startswith("the gradient of")


# --- full precision ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place, name, asked",
    [
        (torch.backends.cudnn, "allow_tf32", False), (torch.backends.cuda.matmul, "allow_tf32", True),
        (torch.backends.cuda.matmul, "fp32_precision", "tf32"), (torch.backends.cudnn.conv, "fp32_precision", "tf32"),
        (torch.backends, "fp32_precision", "tf32"),
    ],
)  # fmt: skip
def test_full_precision_is_full_whatever_the_process_has_asked_for(place, name, asked):
    """With PyTorch's old settings and with its new ones, which it refuses to mix."""
    parts, untouched = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn), getattr(place, name)
    try:
        setattr(place, name, asked)
        before = [part.fp32_precision for part in parts]
        for _ in range(2):
            with device.full_precision():
                assert [part.fp32_precision for part in parts] == ["ieee"] * 3
            assert [part.fp32_precision for part in parts] == before and getattr(place, name) == asked
    finally:
        setattr(place, name, untouched)


# --- the same weights each time ------------------------------------------------------------------------------------


def objective(pretraining, seed=0):
    torch.manual_seed(seed)
    encoder = networks.build_encoder(PRETRAININGS[pretraining], IMPERIALDANCE21, networks.Width((8, 16), 16, 12))
    return networks.build_objective(PRETRAININGS[pretraining], encoder, classes=12)


def fingerprints(times):
    """{pre-training: hash of the weights} of two steps, ``times`` times in this process; fails where they differ."""
    pieces, found = piece_set(trials=1), {}
    for name in EACH_KIND:
        hashes = set()
        for _ in range(times):
            learner = objective(name)
            training.train(learner, pieces, training.Training(1, 6, 1e-3), Augmentation(noise=0.05, crop=0.5, joints=0.3), 1)
            content = b"".join(value.numpy().tobytes() for value in learner.state_dict().values())
            hashes.add(hashlib.sha256(content).hexdigest())
        assert len(hashes) == 1, name
        found[name] = hashes.pop()
    return found


def started(code, **environment):
    """A Python process in the tests' folder that runs some code of this module and prints its answer."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import test_device; {code}"], cwd=os.path.dirname(__file__), text=True,
        stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def test_each_kind_of_pretraining_is_there():
    """``EACH_KIND`` names all encoders, modalities and objectives of the method table."""


    def kinds(table):
        return {(part, getattr(m, part)) for m in table for part in ("motion", "music", "objective")}

    assert kinds(PRETRAININGS[name] for name in EACH_KIND) == kinds(PRETRAININGS.values())


def test_every_pretraining_gives_the_same_weights_three_times_and_in_two_processes():
    processes = [started("print(test_device.fingerprints(1))") for _ in range(2)]
    here = fingerprints(3)
    for process in processes:
        out, _ = process.communicate()
        assert process.returncode == 0 and eval(out.splitlines()[-1]) == here


ISAS = {"AVX2": "avx2", "AVX512_CORE": "avx512_f", "AVX512_CORE_BF16": "avx512_bf16", "DEFAULT": "avx2"}


def trained_features(path):
    """Features of all pieces after a short pre-training of one net of each kind, saved as an .npz."""
    pieces, out = piece_set(trials=2), {}
    for name in ("stgcn-lstm-infonce", "res18-lstm-supcon", "tx-lstm-svt"):
        learner = objective(name)
        history = training.train(learner, pieces, training.Training(1, 9, 1e-4), Augmentation(), 0)
        assert np.isfinite(history["loss"]).all(), name
        out[name] = training.encode(learner.encoder, pieces)[1].numpy()
    np.savez(path, **out)


def test_a_short_pretraining_agrees_under_every_instruction_set(tmp_path):
    """The processor's own, and capped lower: what oneDNN computes with must not show in the features."""
    capabilities = torch.cpu.get_capabilities()
    if capabilities["architecture"] != "x86_64":
        pytest.skip("ONEDNN_MAX_CPU_ISA caps x86-64 processors only")
    tried = [isa for isa, needs in ISAS.items() if capabilities.get(needs)]
    for isa in tried:
        process = started(f"test_device.trained_features({str(tmp_path / isa)!r})", ONEDNN_MAX_CPU_ISA=isa)
        assert process.wait() == 0, isa
    reference = np.load(tmp_path / f"{tried[0]}.npz")
    for isa in tried[1:]:
        features = np.load(tmp_path / f"{isa}.npz")
        for name in reference:
            ours, theirs = features[name] - features[name].mean(axis=0), reference[name] - reference[name].mean(axis=0)
            agreement = (ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs)
            assert agreement > 0.98, (isa, name)
