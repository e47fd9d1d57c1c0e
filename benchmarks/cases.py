"""The cases of the benchmark: each case yields pairs of functions (``compare.Pair``), or a line that says why it cannot.

The data are random numbers of the right shapes, because the times do not depend on the motion. If a case needs files,
SynthDance writes them to a temporary folder.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import importlib.util
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import reference
import roofline
import soundfile
import torch
from compare import Pair, peak_tensors_mb
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode

from dancemvp_core import datasets, device
from dancemvp_core.dance import music
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import synthdance
from dancemvp_core.models import encoders, losses
from dancemvp_core.models.prompter import Join, Prompter, PrompterSettings
from dancemvp_core.pretraining import methods, networks, training
from dancemvp_core.runs import profiles
from dancemvp_core.tasks import feature_maps, outcomes, prompting, protocols
from dancemvp_core.tasks.features import Features

OURS = methods.METHODS["ours"].pretraining
PROJECT = profiles.project_root()
NOTEBOOK = PROJECT / "notebooks" / "07_table4_fig7_prompting.ipynb"  # it imports the most packages
INSTALL_LIGHTLY = "lightly is not installed: run `.venv/bin/uv pip install lightly` or install the extra `bench`"


@dataclass
class Setting:
    """The setting of the benchmark: the device and its rates, the sizes, and a folder that is deleted after the run."""

    device: torch.device
    rates: roofline.Rates
    quick: bool
    _folder: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Setting:
        self.folder = Path(self._folder.enter_context(tempfile.TemporaryDirectory(prefix="dancemvp-bench-")))
        return self

    def __exit__(self, *fault) -> None:
        self._folder.close()

    def size(self, full, quick):
        """Return the first of two sizes, or the second for a quick run."""
        return quick if self.quick else full

    @property
    def width(self) -> networks.Width:
        """The size of the paper's networks, or of smoke's for a quick run."""
        return networks.Width.of(profiles.load(self.size("paper", "smoke")))

    @property
    def frames(self) -> int:
        """The number of frames of a piece."""
        return profiles.load(self.size("paper", "smoke")).piece_frames

    @property
    def precision(self) -> str:
        """The precision of pre-training on this device."""
        return roofline.precision_used(self.device)

    def pieces(self, choreographies: int, trials: int) -> PieceSet:
        """Return 9 x choreographies x trials random pieces on the device, all in the pre-train set."""
        return random_pieces(choreographies, trials, self.frames).to(self.device)

    def encoder(self) -> nn.Module:
        """Return our motion and music encoder with random weights on the device."""
        torch.manual_seed(0)
        width = self.width
        built = networks.build_encoder(methods.METHODS["ours"], IMPERIALDANCE21, width)
        return built.to(self.device)


def random_pieces(choreographies: int, trials: int, frames: int) -> PieceSet:
    """Return a piece set of random numbers: 3 levels x trials x 3 primitives for each choreography.

    Each primitive of a choreography has its own music.
    """
    rng = np.random.default_rng(0)
    dances, levels = [f"{'bkjhu'[i % 5]}{i // 5}" for i in range(choreographies)], ("beginner", "intermediate", "expert")
    cells = list(itertools.product(range(choreographies), levels, range(trials), range(3)))
    table = pd.DataFrame(
        {
            "sequence": [i // 3 for i in range(len(cells))],
            "genre": [dances[c][0] for c, *_ in cells],
            "choreography": [dances[c] for c, *_ in cells],
            "level": [level for _, level, _, _ in cells],
            "trial": [trial for *_, trial, _ in cells],
            "primitive": [p for *_, p in cells],
            "score": rng.uniform(0, 100, len(cells)),
            "bar": rng.uniform(0, 100, len(cells)),
            "split": "pretrain",
            "window": [3 * c + p for c, _, _, p in cells],
            "start_s": [3.0 * p for *_, p in cells],
            "end_s": [3.0 * p + 3.0 for *_, p in cells],
        }
    )
    motion = torch.from_numpy(rng.standard_normal((len(cells), 3, frames, 21), dtype=np.float32))
    sound = torch.from_numpy(rng.standard_normal((3 * choreographies, encoders.MUSIC_FEATURES, frames), dtype=np.float32))
    return PieceSet(motion, sound, table, table)


def float32(device):
    """Return a context without mixed precision; it has the same arguments as ``roofline.mixed_precision``."""
    return contextlib.nullcontext()


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return |a - b| / |b|."""
    a, b = a.detach().float(), b.detach().float()
    return float((a - b).norm() / b.norm())


def compiled(network: Callable, setting: Setting) -> Callable | None:
    """Return the network from torch.compile, with CUDA graphs on a GPU; None for a quick run or without a compiler."""
    if setting.quick or not shutil.which("g++") or (setting.device.type == "cuda" and not importlib.util.find_spec("triton")):
        return None
    return torch.compile(network, mode="reduce-overhead" if setting.device.type == "cuda" else None)


# --- encoders ----------------------------------------------------------------------------------------------------


def stgcn(setting: Setting) -> Iterator[Pair | str]:
    """Compare ST-GCN, forward and backward, with the textbook's: each change by itself, and the difference of the outputs."""
    torch.manual_seed(0)
    ours = encoders.build("stgcn", channels=setting.width.channels, dim=setting.width.dim).to(setting.device)
    plain = reference.textbook(ours)
    batch = setting.size(roofline.TRAINING_BATCH, 2)
    motion = torch.randn(batch, 3, setting.frames, 21, device=setting.device)
    with torch.no_grad():
        truth = plain(motion)

    def step(network, precision):
        def work():
            network.zero_grad(set_to_none=True)
            with precision(setting.device):
                out = network(motion)
            out.float().square().mean().backward()

        return work

    def pair(what, network, precision, goal=""):
        with precision(setting.device), torch.no_grad():
            difference = relative(network(motion), truth)
        name = "float32" if precision is float32 else setting.precision
        floor = roofline.training_step(ours, motion, name).floor_s(setting.rates, name)
        return Pair(
            f"{what}, {name}", step(network, precision), f"textbook, {name}", step(plain, precision),
            step(plain, float32) if name != "float32" else None, goal,
            floor_s=floor, difference=difference, note=f"{batch} pieces of {setting.frames} frames",
        )  # fmt: skip

    yield pair("ours", ours, roofline.mixed_precision, "2x on 2 cores, 8x on an H100")
    if setting.precision != "float32":
        yield pair("ours", ours, float32)
    yield pair("textbook, channels last", copy.deepcopy(plain).to(memory_format=torch.channels_last), float32)
    fast = compiled(ours, setting)
    if fast is None:
        yield "torch.compile is left out: this is a quick run, or there is no g++ or no Triton for the GPU"
    else:
        yield pair("ours, compiled", fast, roofline.mixed_precision)


class Nothing(nn.Identity):
    """Takes the place of a batch norm, and changes nothing."""

    def forward(self, x: Tensor, views: int = 1) -> Tensor:
        return x


def folded(encoder: nn.Module) -> nn.Module:
    """Return a copy for inference in which the ST-GCN's batch norms are folded into the convolutions before them."""
    out = copy.deepcopy(encoder).eval()
    for block in out.encoders["motion"].blocks:
        for module, norm in ((block.spatial.mix, "spatial_norm"), (block.temporal, "temporal_norm")):
            n = getattr(block, norm)
            module.weight, module.bias = fuse_conv_bn_weights(
                module.weight, module.bias, n.running_mean, n.running_var, n.eps, n.weight, n.bias
            )
            setattr(block, norm, Nothing())
    return out


def inference(setting: Setting) -> Iterator[Pair | str]:
    """Compare the inference of 32 pieces with textbook ST-GCN in float32: the features, then also the prompts of all tasks."""
    encoder = setting.encoder().eval()
    plain = reference.textbook(encoder)
    count = setting.size(roofline.INFERENCE_BATCH, 4)
    pieces = setting.pieces(5, 4)
    batch = pieces.batch(np.arange(count))
    floor = roofline.inference(encoder, batch, "float32").floor_s(setting.rates, "float32")

    def features(hidden):
        @torch.inference_mode()
        def work():
            return hidden(batch)

        return work

    truth = features(plain.hidden)
    goal = "0.8 s on 2 cores, 3 ms on an H100" if count == roofline.INFERENCE_BATCH else ""

    def pair(what, work, goal=""):
        difference = relative(work(), truth())
        return Pair(what, work, "textbook", truth, goal=goal, floor_s=floor, difference=difference,
                    note=f"{count} pieces of {setting.frames} frames")  # fmt: skip

    yield pair("features", features(encoder.hidden), goal)
    yield pair("features, batch norms folded", features(folded(encoder).hidden))
    fast = compiled(encoder.hidden, setting)
    if fast is not None:
        yield pair("features, compiled", features(fast))

    classes, _ = protocols.class_table(pieces.table)
    sentences = prompting.candidates(protocols.TASKS, classes)
    hidden = training.encode(encoder, pieces)[0].to(setting.device)
    network = (hidden, sentences, protocols.TASKS, len(classes), "words", PrompterSettings())
    prompter = Prompter(encoder.last, *network).eval()

    def answers(network):
        @torch.inference_mode()
        def work():
            return prompter(network.hidden(batch))

        return work

    yield Pair("features and prompts of all tasks", answers(encoder), "textbook",
               answers(plain), goal=goal, floor_s=floor, note=f"{count} pieces")  # fmt: skip

    @torch.inference_mode()
    def once_a_piece():
        return torch.cat([encoder.hidden(pieces.batch(part)) for part in np.array_split(np.arange(len(pieces)), len(pieces) // 60)])

    def once_a_window():
        return training.encode(encoder, pieces)[0].to(setting.device)

    yield Pair("all pieces, music once a window", once_a_window, "once a piece", once_a_piece,
               difference=relative(once_a_window(), once_a_piece()),
               note=f"{len(pieces)} pieces, {pieces.table['window'].nunique()} windows")  # fmt: skip


# --- pre-training ------------------------------------------------------------------------------------------------


def pretrain_step(setting: Setting) -> Iterator[Pair | str]:
    """Compare a pre-training step, augmentation included, with a DataLoader that augments one piece after the other."""
    batch_size, steps = setting.size(roofline.TRAINING_BATCH, 4), 3
    pieces = setting.pieces(5, -(-batch_size * steps // 45))
    keep = np.arange(batch_size * steps)
    pieces = PieceSet(pieces.motion[: len(keep)], pieces.music, pieces.table.iloc[keep], pieces.sequences)
    how = training.Training(1, batch_size, schedule="constant")
    augmentation, mirror = networks.augmentation(OURS), IMPERIALDANCE21.mirror
    objective = networks.new_objective(OURS, 0, setting.width, pieces, IMPERIALDANCE21)
    views = {name: torch.cat([x, x]) for name, x in pieces.batch(np.arange(batch_size)).items()}
    floor = roofline.training_step(objective.encoder, views, setting.precision).floor_s(setting.rates, setting.precision)
    # On a CPU, workers would take the cores from the network; with a GPU, the cores are free.
    workers = 0 if setting.device.type == "cpu" else min(8, os.cpu_count() or 1)
    batches = reference.loader(pieces, augmentation, mirror, batch_size, workers)

    def ours():
        training.train(objective, pieces, how, augmentation, 0, mirror)

    def plain(network, precision):
        return reference.epoch(network, batches, how, precision, setting.device)

    goal, note = "3x on 2 cores, 10x on an H100", f"{batch_size} pieces, {workers} workers"
    textbook = reference.textbook(objective)
    in_float32 = plain(textbook, float32) if setting.precision != "float32" else None
    same = plain(reference.textbook(objective), roofline.mixed_precision)
    yield Pair("ours", ours, "DataLoader, textbook ST-GCN", same, in_float32, goal, steps, floor, note=note)
    loaded = plain(copy.deepcopy(objective), roofline.mixed_precision)
    yield Pair("ours", ours, "DataLoader, our network", loaded, per=steps, floor_s=floor, note=note)

    generator = torch.Generator(device=setting.device).manual_seed(0)
    rows = torch.arange(len(pieces), device=setting.device)

    def augmented():
        for chosen in rows.split(batch_size):
            batch = pieces.batch(chosen)
            for _ in range(2):
                augmentation(batch, generator, mirror)

    def one_by_one():
        for _ in reference.on_device(batches, setting.device):
            pass

    yield Pair("augmentation alone", augmented, "DataLoader alone", one_by_one, per=steps, note=note)


class Operations(TorchDispatchMode):
    """Counts the operations that compute something: all but views. On a GPU the host starts each of them."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += not function.is_view
        return function(*arguments, **(options or {}))


STEPS = ("stgcn-lstm-infonce", "stgcn-lstm-supcon", "stgcn-lstm-synchrony", "res18-lstm-moco", "tx-lstm-svt")


def recorded_step(setting: Setting) -> Iterator[Pair | str]:
    """Count the operations of a step on CUDA; there, compare steps replayed from a graph with steps that are started one by one."""
    batch_size = setting.size(roofline.TRAINING_BATCH, 4)
    pieces = setting.pieces(5, setting.size(4, 1))
    how = training.Training(1, batch_size, schedule="constant")

    def epoch(name: str) -> training.Loop:
        objective = networks.new_objective(name, 0, setting.width, pieces, IMPERIALDANCE21)
        objective.train()
        return training.Loop(objective, pieces, how, networks.augmentation(name), 0, IMPERIALDANCE21.mirror)

    for name in setting.size(STEPS, STEPS[:1]):
        with mock.patch.dict(encoders.JOINS_VIEWS, clear=True):
            loop = epoch(name)
            loop.compute()
            with Operations() as started:
                loop.compute()
        yield f"{name}: the host starts {started.count} operations in a step; on CUDA, one graph"
        if setting.device.type != "cuda":
            continue
        replayed, single = epoch(name), epoch(name)

        def one_by_one(loop=single):
            with mock.patch.object(device, "PLAIN_CALLS", math.inf):
                loop.epoch(0)

        for _ in range(device.PLAIN_CALLS + 1):  # at least so many steps, so that the graph is recorded
            replayed.epoch(0)
        yield Pair(f"{name}, replayed", functools.partial(replayed.epoch, 0), "started one by one", one_by_one,
                   per=replayed.steps, note=f"{batch_size} pieces, {started.count} operations")  # fmt: skip


def info_nce(setting: Setting) -> Iterator[Pair | str]:
    """Compare InfoNCE, forward and backward, with lightly's, pytorch-metric-learning's and, for large N, one whole matrix.

    Memory is in N x N matrices.
    """
    try:
        from lightly.loss import NTXentLoss
    except ImportError:
        NTXentLoss = None
        yield INSTALL_LIGHTLY
    from pytorch_metric_learning.losses import NTXentLoss as MetricLearning  # in the extra "test"

    def whole(a, b):
        with mock.patch.object(losses, "BLOCK", len(a)):  # as for few pairs
            return losses.info_nce(a, b)

    for n in setting.size((64, 256, 1024, 4096), (16,)):
        torch.manual_seed(0)
        a, b = (torch.randn(n, 128, device=setting.device, requires_grad=True) for _ in range(2))
        one_matrix_mb = n * n * 4 / 1e6
        labels = torch.arange(n, device=setting.device).repeat(2)

        def both_ways(loss, a=a, b=b):
            def work():
                a.grad = b.grad = None
                loss(a, b).backward()

            return work

        others = {}
        if NTXentLoss:
            others["lightly"] = NTXentLoss(temperature=0.1)
        if n <= 64:  # its memory grows with the third power of N: 34 GB for N = 1024
            theirs = MetricLearning(temperature=0.1)
            others["pytorch-metric-learning"] = lambda a, b, theirs=theirs, labels=labels: theirs(torch.cat([a, b]), labels)
        if n >= 4 * losses.BLOCK:
            others["the whole matrix"] = whole
        ours = losses.info_nce
        peak = peak_tensors_mb(both_ways(ours)) / one_matrix_mb
        note = f"N = {n}, D = 128; peak of {peak:.1f} N x N matrices, goal 2"
        for name, loss in others.items():
            yield Pair(f"N = {n}", both_ways(ours), name, both_ways(loss), goal="2x", memory=peak_tensors_mb,
                       difference=relative(ours(a, b), loss(a, b)), note=note)  # fmt: skip
        if not others:
            yield Pair(f"N = {n}", both_ways(ours), memory=peak_tensors_mb, note=note)


# --- downstream --------------------------------------------------------------------------------------------------


def prompt_scoring(setting: Setting) -> Iterator[Pair | str]:
    """Compare the scores of B pieces and C candidates with a version that joins the vectors of every pair in one tensor."""
    settings = PrompterSettings()
    z_width, t_width = setting.width.features, settings.text_width
    torch.manual_seed(0)
    join = Join(z_width, t_width, settings.width).to(setting.device)
    head = nn.Linear(settings.width, 1).to(setting.device)
    pairwise = reference.PairwiseScores(join, head)
    pieces, candidates = setting.size((256, 45), (16, 9))

    def inputs(times: int):
        return (
            torch.randn(times * pieces, z_width, device=setting.device),
            torch.randn(candidates, t_width, device=setting.device),
        )

    @torch.inference_mode()
    def ours(z, t):
        return head(join(z, t, True)).squeeze(-1)

    @torch.inference_mode()
    def plain(z, t):
        return pairwise(z, t)

    few = inputs(1)
    yield Pair(f"B = {pieces}, C = {candidates}", functools.partial(ours, *few), "every pair's vectors joined",
               functools.partial(plain, *few), memory=peak_tensors_mb, difference=relative(ours(*few), plain(*few)),
               note=f"D_z = {z_width}, D_t = {t_width}, W = {settings.width}")  # fmt: skip
    support, own = torch.randn(64, z_width, device=setting.device), nn.Linear(z_width, z_width).to(setting.device)

    def prediction(times: int, asked: torch.Tensor):
        sentences = {"vocabulary": [prompting.vocabulary_text("ballet", "b0", "expert", i) for i in range(times * candidates)]}
        fitted = Prompter(own, support, sentences, ("vocabulary",), times * candidates, "words", settings).eval()
        return functools.partial(fitted.predict, asked)

    what, once = f"prediction, B = {pieces}, C = {candidates}", prediction(1, few[0])
    growth = {"10 times the pieces": prediction(1, inputs(10)[0]), "10 times the candidates": prediction(10, few[0])}
    for name, grown in growth.items():
        yield Pair(what, once, name, grown, goal="at most 10x", memory=peak_tensors_mb)


def fits(setting: Setting) -> Iterator[Pair | str]:
    """Compare fit and prediction of linear heads with those of the prompter, on the same frozen features, as in Table 4."""
    settings = outcomes.prompter_settings(profiles.validate("07_table4_fig7_prompting", profile="demo"))
    shots, queries, steps = setting.size((20, 50, settings.steps), (2, 2, 5))
    pieces = random_pieces(5, shots + queries, 2)
    torch.manual_seed(0)
    dim, features = 2 * setting.width.dim, setting.width.features
    frozen = Features(torch.randn(len(pieces), dim), nn.Linear(dim, features))
    support, query = (np.flatnonzero(mask) for mask in (pieces.table["trial"] < shots, pieces.table["trial"] >= shots))
    settings = replace(settings, steps=steps)
    episode = protocols.Episode(pieces.table, support, query)

    def fit(protocol):
        return lambda: protocols.run(protocol, frozen, episode, 0, settings)

    note = f"{len(support)} support and {len(query)} query pieces, {steps} steps; ratio: prompt over finetune"
    yield Pair("finetune", fit("finetune"), "prompt", fit("prompt"), note=note)


# --- data, music, maps, tests ------------------------------------------------------------------------------------


def data(setting: Setting) -> Iterator[Pair | str]:
    """Measure writing SynthDance to disk; compare opening a data set with reading all of its motion."""
    trials, dances = setting.size((20, ["b0", "k0"]), (2, ["b0"]))
    fresh = itertools.count()

    def write():
        synthdance.write(setting.folder / f"tree{next(fresh)}", trials, 0, choreographies=dances)

    yield Pair("SynthDance written", write, per=3 * len(dances), note=f"a file of {trials} trials")
    tree = setting.folder / "tree0"
    files = list(tree.glob("*.npy"))
    yield Pair("a data set opened", lambda: datasets.load(tree), "its motion read",
               lambda: [np.load(file) for file in files], note=f"{len(files)} files of {trials} trials")  # fmt: skip


def acoustic_features(setting: Setting) -> Iterator[Pair | str]:
    """Measure the acoustic features of a music window; compare its analysis from the cache with a new analysis."""
    samples = synthdance.render_music(synthdance.choreography("b0"))[: setting.size(None, 3 * music.SAMPLE_RATE)]
    length = len(samples) / music.SAMPLE_RATE
    path, cache = setting.folder / "music.wav", setting.folder / "music"
    soundfile.write(path, samples, music.SAMPLE_RATE)
    note = f"{length:.0f} s of music"
    yield Pair("acoustic features", lambda: music.acoustic_features(samples, music.SAMPLE_RATE), note=note)
    whole = functools.partial(music.analyse, path, 0.0, length)
    yield Pair("a music window, cached", lambda: whole(cache=cache), "analysed", whole, note=note)


def maps(setting: Setting) -> Iterator[Pair | str]:
    """Compare t-SNE as in Fig. 5 with scikit-learn's."""
    from sklearn.manifold import TSNE

    points = setting.size(1350, 60)
    features = np.random.default_rng(0).normal(size=(points, 128))
    on_sphere = feature_maps.on_sphere(features)
    plain = TSNE(perplexity=min(30.0, (points - 1) / 3), init="pca", random_state=0)
    yield Pair("t-SNE", lambda: feature_maps.tsne(features), "scikit-learn", lambda: plain.fit_transform(on_sphere),
               note=f"{points} points")  # fmt: skip


# --- start-up ----------------------------------------------------------------------------------------------------


def import_lines(notebook: Path) -> str:
    """Return the import statements of a notebook's cells as a program."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    trees = [ast.parse("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    return "\n".join(ast.unparse(s) for tree in trees for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom))


def heaviest(program: Path, most: int = 5) -> str:
    """Return the packages whose modules take longest to import, as "torch 1.2 s, ..."."""
    done = subprocess.run([sys.executable, "-X", "importtime", str(program)], capture_output=True, text=True, check=True)
    seconds: dict[str, float] = {}
    for own, name in re.findall(r"^import time:\s*(\d+) \|[ \d]+\|\s*(\S+)", done.stderr, flags=re.MULTILINE):
        package = name.split(".")[0]
        seconds[package] = seconds.get(package, 0.0) + int(own) / 1e6
    longest = sorted(seconds, key=lambda name: -seconds[name])[:most]
    return ", ".join(f"{name} {seconds[name]:.2f} s" for name in longest)


def imports(setting: Setting) -> Iterator[Pair | str]:
    """Compare the imports of a notebook in a process that the warm server forks with those in a new process."""
    program, warm = setting.folder / "imports.py", PROJECT / "workflow" / "warm.py"
    program.write_text(import_lines(NOTEBOOK), encoding="utf-8")
    cold = functools.partial(subprocess.run, [sys.executable, str(program)], check=True)
    with subprocess.Popen(
        [sys.executable, str(warm), "--serve", sys.executable, "-c",
         "import os; print(os.environ['DANCEMVP_WARM'], flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        served = os.environ | {"DANCEMVP_WARM": server.stdout.readline().strip()}
        ask = functools.partial(subprocess.run, [sys.executable, str(warm), str(program)], env=served, check=True)
        yield Pair(f"imports of {NOTEBOOK.stem}, warm", ask, "in a fresh process", cold, note=heaviest(program))
        server.communicate("\n")


# --- growth ------------------------------------------------------------------------------------------------------


def growth(setting: Setting) -> Iterator[Pair | str]:
    """Compare time and memory for more data: an epoch of 10 times the pieces, a manifest of 100 times the rows."""
    smoke = profiles.load("smoke")
    how = training.Training(1, smoke.batch_size, schedule="constant")

    def epoch(trials: int):
        pieces = random_pieces(5, trials, smoke.piece_frames).to(setting.device)
        objective = networks.new_objective(OURS, 0, networks.Width.of(smoke), pieces, IMPERIALDANCE21)
        return len(pieces), lambda: training.train(objective, pieces, how, networks.augmentation(OURS), 0)

    small, few = epoch(setting.size(10, 2))
    large, many = epoch(setting.size(100, 20))
    yield Pair(f"an epoch of {small} pieces", few, f"{large} pieces", many, goal="at most 10.5x, flat memory",
               memory=peak_tensors_mb, note="smoke's networks; memory beside the data")  # fmt: skip

    rows = setting.size(100, 10)
    opened = [functools.partial(datasets.load, manifest(setting.folder, n)) for n in (rows, 100 * rows)]
    yield Pair(f"a manifest of {rows} rows opened", opened[0], f"{100 * rows} rows", opened[1],
               goal="the same memory", memory=resident_mb, note="memory of a fresh process, imports aside")  # fmt: skip


def manifest(folder: Path, rows: int) -> Path:
    """Write a manifest of ``rows`` recordings, 1 s each, all the same file under different names; return its folder."""
    root = folder / f"manifest-{rows}"
    root.mkdir()
    np.save(root / "0.npy", np.random.default_rng(0).normal(size=(30, 17, 3)).astype(np.float32))
    for i in range(1, rows):
        os.link(root / "0.npy", root / f"{i}.npy")
    lines = ["motion,layout,fps,skeleton", *(f"{i}.npy,TVC,30,coco17" for i in range(rows))]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def resident_mb(opened: functools.partial) -> float:
    """Return the growth of a new process's peak resident memory, in MB, while it opens a data set."""
    program = (
        "import sys; from dancemvp_core import datasets; from dancemvp_core.runs import provenance;"
        "before = provenance.peak_memory_mb(); dataset = datasets.load(sys.argv[1]); print(provenance.peak_memory_mb() - before)"
    )
    command = [sys.executable, "-c", program, str(opened.args[0])]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 2**20 / 1e6


CASES: dict[str, Callable[[Setting], Iterator[Pair | str]]] = {
    "stgcn": stgcn,
    "pretrain_step": pretrain_step,
    "recorded_step": recorded_step,
    "info_nce": info_nce,
    "inference": inference,
    "prompt_scoring": prompt_scoring,
    "fits": fits,
    "imports": imports,
    "data": data,
    "acoustic_features": acoustic_features,
    "maps": maps,
    "growth": growth,
}
