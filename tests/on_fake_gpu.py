"""What must hold on a GPU, tried on the fake one. ``test_gpu.py`` runs this file, in a process of its own."""

import functools
import re
from pathlib import Path

import fake_gpu
import nbformat
import numpy as np
import pytest

GPU = fake_gpu.install()  # before the package is imported

# ruff: noqa: E402
import matplotlib
import torch
from tiny import piece_set

from dancemvp_core import datasets, device
from dancemvp_core.controls import leak_audit
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import synthdance
from dancemvp_core.pretraining import methods, networks, objectives, pretrained, training
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.pretrained import Pretraining
from dancemvp_core.pretraining.training import Hooks
from dancemvp_core.released import encoder, prompting, study
from dancemvp_core.runs import profiles, provenance, workspace
from dancemvp_core.tasks import linear_heads, rows, splits
from dancemvp_core.tasks.features import Features

PROJECT = Path(__file__).resolve().parents[1]
SMALL = {
    "trials": 10, "piece_frames": 16, "channels": (8, 16), "dim": 8, "features": 24, "epochs": 1, "epochs_resnet50": 1,
    "epochs_slow": 1, "batch_size": 9, "shots": 2, "shots_curve": (2,), "genres": (2,), "downstream_steps": 3,
    "tsne_points": 60,
}  # fmt: skip
# One row for every objective and kind of encoder, and the strongest baseline, for which 11_extra_unseen_dancers asks.
ROWS = ("ours", "happyfeet", "dance_with_melody", "svt", "moco", "stgcn-lstm-supcon", methods.selected()["strongest"])
NOTEBOOKS = (  # in the order in which they need one another
    "01_table1_data 02_fig3_fig4_primitives 03_pretraining 04_fig5_embeddings 05_table2_baselines 06_table3_ablation"
    " 07_table4_fig7_prompting 08_fig6_progression 09_released_code 10_extra_augmentation 11_extra_unseen_dancers explore"
    " 12_assessor extra_difficulty extra_synchrony extra_confusion extra_timing 13_claims"
).split()
# assess has no tensors of its own: it asks the assessor, which is for a CPU.
ON_THE_CPU = {"01_table1_data", "02_fig3_fig4_primitives", "13_claims", "assess"}


@pytest.fixture(autouse=True)
def log():
    """The device's log, empty at first."""
    fake_gpu.LOG.__init__()
    return fake_gpu.LOG


# --- the fake itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "work",
    [
        lambda gpu, cpu: torch.cat([gpu, cpu]),
        lambda gpu, cpu: torch.cat([gpu[0, 0, None], torch.tensor([1.0])]),
        lambda gpu, cpu: gpu @ cpu,
        lambda gpu, cpu: gpu + cpu,
        lambda gpu, cpu: cpu.add_(gpu),
        lambda gpu, cpu: torch.zeros(()).add_(gpu.sum()),
        lambda gpu, cpu: gpu.index_put_((torch.tensor([0]),), cpu[:1]),
        lambda gpu, cpu: cpu[torch.tensor([0], device=GPU)],
        lambda gpu, cpu: torch.nn.Linear(3, 3)(gpu),
        lambda gpu, cpu: torch.rand(3, device=GPU, generator=torch.Generator()),
        lambda gpu, cpu: torch.randn(3, generator=torch.Generator(device=GPU)),
        lambda gpu, cpu: gpu.numpy(),
        lambda gpu, cpu: np.asarray(gpu),
    ],
)
def test_what_cuda_refuses_is_refused(work):
    with pytest.raises(fake_gpu.DeviceError):
        work(torch.ones(3, 3, device=GPU), torch.ones(3, 3))


def test_what_cuda_allows_gives_the_same_numbers():
    cpu = torch.arange(12.0).view(3, 4)
    gpu = cpu.to(GPU)
    assert gpu.device == GPU and torch.zeros(2, device=GPU).device == GPU and (gpu * torch.tensor(2.0)).device == GPU
    for index in ([0, 2], np.array([0, 2]), torch.tensor([0, 2]), torch.tensor([0, 2], device=GPU)):
        assert torch.equal(gpu[index].cpu(), cpu[[0, 2]])
    gpu[:, 1:3].mul_(2)  # through a view
    assert gpu.tolist() == (cpu * torch.tensor([1.0, 2, 2, 1])).tolist()
    net, x = torch.nn.LSTM(4, 5, 2, batch_first=True), torch.randn(2, 6, 4)
    net(x)[0].square().sum().backward()
    own = [p.grad for p in net.parameters()]
    net.zero_grad()
    net.to(GPU)(x.to(GPU))[0].square().sum().backward()
    for p, expected in zip(net.parameters(), own, strict=True):
        torch.testing.assert_close(p.grad.cpu(), expected)


def test_waits_copies_and_what_stays_on_the_cpu_are_seen(log):
    gpu, net = torch.ones(4, device=GPU), torch.nn.Conv1d(1, 1, 1)
    assert log.kernels == 1 and not log.waits and not log.copied
    float(gpu.sum()), gpu.cpu(), gpu[gpu > 0], gpu.nonzero()
    assert sum(log.waits.values()) == 4
    gpu[[0, 1]], gpu[torch.tensor([0])]
    assert sum(log.copied.values()) == 2 and not log.heavy_on_cpu
    net(torch.ones(1, 1, 3))
    assert sum(log.heavy_on_cpu.values()) == 1
    net.to(GPU)(torch.ones(1, 1, 3, device=GPU))
    assert sum(log.heavy_on_cpu.values()) == 1


# --- the core --------------------------------------------------------------------------------------------------------


def objective(name):
    torch.manual_seed(0)
    method = methods.everyone()[name]
    encoder = networks.build_encoder(method, IMPERIALDANCE21, networks.Width((8, 16), 16, 12))
    return networks.build_objective(method, encoder, 12).to(GPU)


def test_random_numbers_of_both_devices_go_on_after_a_seed():
    def drawn():
        return torch.rand(3).tolist(), torch.rand(3, device=GPU).tolist()

    torch.manual_seed(1)
    expected = drawn()
    torch.manual_seed(1)
    with device.seeded(0, GPU):
        first = drawn()
    with device.seeded(0, GPU):
        assert drawn() == first != expected
    torch.manual_seed(1)
    with device.seeded(0, GPU):
        drawn()
    assert drawn() == expected


def test_pre_training_waits_for_the_device_once_an_epoch(log):
    pieces = piece_set(trials=1).to(GPU)
    everything = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.3))
    history = training.train(objective("ours"), pieces, training.Training(2, 4), everything, 0)
    assert sum(log.waits.values()) == len(history) == 2, log.waits
    assert not log.heavy_on_cpu


@pytest.mark.parametrize("name", methods.pretrainings())
def test_a_step_neither_waits_for_the_device_nor_sends_anything_to_it(name, log):
    """So a GPU can record it: every pre-training, with its own augmentation, after a first step that prepares."""
    pieces = piece_set(trials=1).to(GPU)
    learner = networks.new_objective(name, 0, networks.Width((8, 16), 16, 12), pieces, IMPERIALDANCE21)
    steps = training.Loop(learner, pieces, training.Training(1, 4), networks.augmentation(name), 0, IMPERIALDANCE21.mirror)
    steps.compute()
    log.__init__()
    steps.compute()
    assert log.kernels and not log.waits and not log.copied and not log.heavy_on_cpu


def test_both_views_are_encoded_in_one_call():
    pieces, calls = piece_set(trials=1), []
    encoder = objective("ours").encoder
    for net in encoder.encoders.values():
        net.register_forward_hook(lambda net, inputs, _: calls.append(len(inputs[0])))
    views = [pieces.to(GPU).batch(pieces.rows("pretrain")[start : start + 4]) for start in (0, 4)]
    z = encoder.both(views)
    assert calls == [8, 8]
    expected = encoder.cpu().both([{k: v.cpu() for k, v in view.items()} for view in views])
    for mine, theirs in zip(z, expected, strict=True):
        torch.testing.assert_close(mine.cpu(), theirs, atol=1e-4, rtol=1e-4)


def test_a_run_goes_on_from_its_checkpoint_on_the_same_device_only(tmp_path):
    pieces, how, kept = piece_set(trials=1).to(GPU), training.Training(2, 8), tmp_path / "run.safetensors"

    def train(where, **more):
        learner = objective("ours").to(where)
        history = training.train(learner, pieces.to(where), how, Augmentation(), 0, **more)
        return {k: v.cpu() for k, v in learner.state_dict().items()}, history

    def stop_after_one(epochs):
        yield 0
        raise KeyboardInterrupt

    whole, _ = train(GPU)
    with pytest.raises(KeyboardInterrupt):
        train(GPU, hooks=Hooks(kept, progress=stop_after_one))
    again, history = train(GPU, hooks=Hooks(kept))
    assert len(history) == 2 and all(torch.equal(whole[k], again[k]) for k in whole)
    started = []
    train("cpu", hooks=Hooks(kept, progress=lambda epochs: started.extend(epochs) or epochs))
    assert started == [0, 1], "a GPU's random state is not a CPU's"


def test_an_encoder_and_its_features_stay_where_they_are():
    pieces = piece_set(trials=2)
    encoder = objective("ours").encoder
    features = Features.encoded(encoder, pieces.to(GPU), pieces.rows("test"))
    assert {p.device for p in encoder.parameters()} == {features.hidden.device} == {features.last.weight.device} == {GPU}
    expected = Features.encoded(encoder.cpu(), pieces, pieces.rows("test"))
    torch.testing.assert_close(features.hidden.cpu(), expected.hidden)
    torch.testing.assert_close(features.z.cpu(), expected.z)
    assert features.last.weight.device == GPU, "the features' own layer followed the encoder"


# --- the notebooks ---------------------------------------------------------------------------------------------------


def empty_picture(path: Path, figure, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project's folder with tiny data; the profile smoke is smaller, and the GPU is picked."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(profiles.PROFILES, "smoke", profiles.PROFILES["smoke"].model_copy(update=SMALL))
        patch.setattr(workspace, "pick_device", lambda: GPU)
        small = prompting.PromptTuning(epochs=1, width=8, layers=1, heads=8)
        patch.setattr(prompting.PromptTuning, "of", classmethod(lambda cls, params: small))
        patch.setattr(encoder, "MusicEncoder", functools.partial(encoder.MusicEncoder, layers=1))
        heard = study.released_music
        patch.setattr(study, "released_music", lambda *of: heard(*of)[:, :8])  # of 549 rows, each a step of the LSTM
        patch.setattr(linear_heads, "STRENGTHS", dict.fromkeys(linear_heads.HEADS, (1.0,)))  # SciPy computes on the processor
        patch.setattr(leak_audit, "ORACLE_STEPS", 3)  # too few to show its leak
        patch.setattr(leak_audit, "enforce", lambda report: None)
        patch.setattr(provenance, "write_figure", empty_picture)  # drawing is the processor's
        patch.setattr(splits, "PRETRAIN", ("b0", "k3"))  # the released split, of the choreographies that are here
        patch.setattr(splits, "TEST", ("b4", "k4"))
        whole = rows.rows  # of the tables ours and the floors: the others' features take the same way
        patch.setattr(rows, "rows", lambda *which: [row for row in whole(*which) if row.name in ("ours", *rows.FLOORS)])
        matplotlib.use("Agg")
        seen, unseen = (make(root, "smoke") for make in (profiles.synthdance_root, profiles.unseen_dancers_root))
        synthdance.write(seen, SMALL["trials"], choreographies=["b0", "k3", "b4", "k4"])
        synthdance.write(unseen, SMALL["trials"], dancers="unseen", choreographies=["b4", "k4"])
        for group in ("seen", "unseen"):
            styled = profiles.strong_style_root(root, "smoke", group)
            synthdance.write(styled, 2 * SMALL["shots"], dancers=synthdance.Dancers(group, 1.0), choreographies=["b4", "k4"])
        synthdance.write_aistpp(profiles.aistpp_standin_root(root), dancers=2, routines=1)
        yield root


def test_a_slot_is_for_every_notebook_that_computes_on_a_gpu_and_for_no_other():
    text = (PROJECT / "workflow" / "Snakefile").read_text()
    parts = re.split(r'"(\w+)": Notebook\(', text[text.index("\nNOTEBOOKS = {") :])
    slots = {name: "gpu=1" in row for name, row in zip(parts[1::2], parts[2::2], strict=True)}
    assert slots == {name: name not in ON_THE_CPU for name in {*NOTEBOOKS, *ON_THE_CPU}}
    assert set(slots) == set(profiles.STAGES)


@pytest.mark.parametrize("stage", NOTEBOOKS)
def test_notebook(project, stage, log):
    names = {"__name__": "__main__", "display": lambda *shown: None}
    for cell in nbformat.read(PROJECT / "notebooks" / f"{stage}.ipynb", 4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, stage, "exec"), names)
        if "parameters" in cell.metadata.get("tags", []):
            names["root"] = str(project)
    matplotlib.pyplot.close("all")
    assert bool(log.kernels) == (stage not in ON_THE_CPU)
    # The assessor is judged as it is used, on the CPU.
    assert not [where for _, where in log.heavy_on_cpu if "assessor.py" not in where], "an encoder or a fit is left on the CPU"
    if stage == "03_pretraining":
        others(project)


def others(project) -> None:
    """Pre-trainings of the other rows, as the notebook does it for ours; each on the GPU alone."""
    params = profiles.validate("03_pretraining", root=str(project))
    paths, width = provenance.Paths.of(params), networks.Width.of(params)
    pieces, skeleton = PieceSet.load(paths.pieces, GPU), datasets.load(params.data_root).skeleton
    assert {methods.METHODS[name].objective for name in ROWS} == set(objectives.OBJECTIVES)
    beside = [*methods.EXTENSIONS.values(), *methods.SINGLE_MODALITY.values(), methods.VARIANTS["position"]]
    used = [*(methods.METHODS[name] for name in ROWS), *beside]
    for name in {method.pretraining for method in used}:
        how = pretrained.training_of(name, params)
        encoder, history = Pretraining(name, 0, pieces, skeleton, width, how).finished(paths.encoder(name, 0))
        assert np.isfinite(history["loss"]).all() and {p.device for p in encoder.parameters()} == {GPU}
    assert not fake_gpu.LOG.heavy_on_cpu
