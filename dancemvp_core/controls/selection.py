"""`make select`: choose all settings in selected.yaml on validation choreographies, and write how.

There are three stages, each with the winners of those before: (1) representation, layers of the MLP, batches and augmentation,
for all methods, on ours; (2) the factor on the learning rate, for each pre-training (a ResNet-50 takes that of the ResNet-18);
(3) width, dropout and whitening of the prompter, on ours. A candidate changes one setting of the present ones, so running it again
is one more step of a coordinate search. A candidate is measured under the method's own protocol on the validation choreographies
of several places (``SPLITS_OF``), at two numbers of shots, with one seed. Stage 1 has a place with real motion if the folder of
such data is given (``make select REAL=folder``): what helps on a simulator alone is not chosen. The best mean rank over places,
shots and tasks wins; among equals, the present setting. The test choreographies are not used. selected_trials.csv has every trial.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
import yaml
from torch import nn

from dancemvp_core import code_hash, datasets, files
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.pretrained import Pretraining, training_of
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Setting, evaluate, prompter_settings
from dancemvp_core.tasks.splits import VALIDATION

SPLITS_OF = {"pre-training": ("", "validation2"), "prompter": ("", *VALIDATION)}  # of SynthDance; rates: our own split
FEW = 5  # shots, beside the tables'
MEASURES = {1: ("accuracy", False), 2: ("l2", True), 3: ("mse", True)}  # task -> (metric, smaller is better)
OURS = methods.METHODS["ours"]
RATE_FACTORS = (1.0, 3.0)
PROMPTER = ({"width": 128}, {"width": 64}, {"dropout": 0.3}, {"dropout": 0.5}, {"shrinkage": 0.01}, {"shrinkage": 0.1})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """Settings of one pre-training that are tried in one place: ``changes`` of selected.yaml ({}: the present settings).

    The place is a ``split`` of the ``data`` (a folder; empty: SynthDance).
    """

    pretraining: str
    protocol: str
    changes: dict
    split: str = ""
    data: str = ""

    @property
    def place(self) -> str:
        """The name of the place in selected_trials.csv."""
        return Path(self.data).name or " ".join(["synthdance", self.split]).strip()


def own_rows() -> dict[str, str]:
    """Return the pre-trainings that have settings of their own, with the protocol of a row that uses them."""
    rows = (methods.METHODS | methods.EXTENSIONS | methods.SINGLE_MODALITY).values()
    return {m.pretraining: m.protocol for m in reversed(rows) if methods.settings_name(m) == m.pretraining}


def stages(real: str = "") -> dict[str, list[Candidate]]:
    """Return the candidates of each stage, the present settings first. ``real``: the folder of real motion, if there is one."""
    ours = partial(Candidate, OURS.pretraining, OURS.protocol)

    def everywhere(stage: str, key: str, changes: Iterable[dict], *more: tuple[str, str]) -> list[Candidate]:
        places = [*((split, "") for split in SPLITS_OF[stage]), *more]
        return [ours(change, *place) for change in ({}, *({key: c} for c in changes)) for place in places]

    rates = [(name, protocol, {name: {"rate_factor": f}}) for name, protocol in own_rows().items() for f in RATE_FACTORS]
    return {
        "pre-training": everywhere("pre-training", "default", methods.CHANGES.values(), *([("", real)] if real else [])),
        "learning rate": [Candidate(*rate) for rate in rates],
        "prompter": everywhere("prompter", "prompter", PROMPTER),
    }


def trial(candidate: Candidate, before: dict, profile: str, folder: Path) -> list[dict]:
    """Return a candidate's measures, one row for each number of shots; read a finished trial from ``folder``.

    ``before``: changes of selected.yaml that earlier stages chose. Columns: pretraining, changes (JSON), place, shots, task1
    (accuracy in %), task2 (L2), task3 (squared error of BAR in squared percentage points); None for a task without labels.
    """
    with methods.trying(methods.changed(before, candidate.changes)):
        torch.set_num_threads(1)
        place = {"split": candidate.split, "data": candidate.data}
        params = profiles.validate("03_pretraining", profile=profile, pretraining=candidate.pretraining, **place)
        where = Workspace.open(provenance.start(params), datasets.load(params.data_root).skeleton)
        how = training_of(candidate.pretraining, params)
        run = Pretraining(candidate.pretraining, 0, where.pieces, where.skeleton, where.width, how)
        facts = [run.stamp, methods.selected()["prompter"], candidate.protocol, code_hash.stamp(__name__)]
        kept = folder / f"{_short(facts)}.json"
        if not kept.exists():
            encoder, _ = run.finished(folder / f"{_short(run.stamp)}.safetensors")
            files.write_json(kept, on_validation(encoder, candidate.protocol, where.pieces, profile))
    # Candidates with equal settings, such as a change to the present value, share a file: the names are not part of it.
    names = {"pretraining": candidate.pretraining, "changes": json.dumps(candidate.changes), "place": candidate.place}
    return [names | row for row in json.loads(kept.read_text(encoding="utf-8"))]


def _short(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def on_validation(encoder: nn.Module, protocol: str, pieces: PieceSet, profile: str) -> list[dict]:
    """Return each task's measure (``MEASURES``) of an encoder on the validation choreographies, seed 0, by number of shots."""
    params = profiles.validate("07_table4_fig7_prompting", profile=profile)
    features = Features.encoded(encoder, pieces, pieces.rows("validation"))
    out = []
    most = min(params.shots, splits.most_shots(pieces.table, "validation"))
    for shots in dict.fromkeys((min(FEW, most), most)):
        outcome = evaluate("encoder", features, pieces, Setting(protocol, 0, shots, split="validation"), prompter_settings(params))
        value = outcome.metrics.set_index(["task", "metric"])["value"]
        known = {t: value.get((t, metric)) for t, (metric, _) in MEASURES.items()}
        out.append({"shots": shots} | {f"task{t}": None if v is None else float(v) for t, v in known.items()})
    return out


def mean_rank(trials: pd.DataFrame, name: str = "changes") -> pd.Series:
    """Return the mean rank of each candidate, in their order; 1 is the best.

    It is the mean over shots and tasks in each place (a task without labels has no ranks), and then over places.
    """
    places = []
    for _, there in trials.groupby("place", sort=False):
        same = [group.set_index(name) for _, group in there.groupby("shots", sort=False)]
        ranks = [s[f"task{task}"].rank(ascending=smaller) for s in same for task, (_, smaller) in MEASURES.items()]
        places.append(pd.concat(ranks, axis=1).mean(axis=1))
    return pd.concat(places, axis=1).mean(axis=1)


def winner(trials: pd.DataFrame) -> dict:
    """Return the changes of the best candidate of one pre-training; among equals, those of the first."""
    return json.loads(mean_rank(trials).idxmin())


def strongest(trials: pd.DataFrame) -> str:
    """Return the best row of the paper's tables after ours, at the best learning rate of each: the strongest baseline."""
    names = {m.pretraining: name for name, m in reversed(methods.METHODS.items()) if m.pretraining != OURS.pretraining}
    best = [own[own["changes"] == json.dumps(winner(own))] for name, own in trials.groupby("pretraining") if name in names]
    return names[mean_rank(pd.concat(best), "pretraining").idxmin()]


def select(profile: str, jobs: int, folder: Path, real: str = "") -> tuple[dict, pd.DataFrame]:
    """Run all stages, and return the new settings and all trials."""
    chosen, made = {}, []
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for stage, candidates in stages(real).items():
            run, rows = partial(trial, before=dict(chosen), profile=profile, folder=folder), []
            for done, found in enumerate(pool.map(run, candidates), 1):
                rows += found
                logger.info("%s: %d of %d", stage, done, len(candidates))
            table = pd.DataFrame(rows)
            for name, own in table.groupby("pretraining", sort=False):
                chosen = methods.changed(chosen, winner(own))
                logger.info("%s, %s: %s", stage, name, winner(own) or "as before")
            made.append(table.assign(stage=stage))
    trials = pd.concat(made, ignore_index=True)
    settings = methods.changed(methods.selected(), chosen)
    settings = {k: v for k, v in settings.items() if v != {"rate_factor": 1.0}}
    settings["strongest"] = strongest(trials[trials["stage"] == "learning rate"])
    return settings, trials


HEADER = """\
# Chosen by `make select` (controls/selection.py, which says how) on the validation choreographies, at the profile {profile}; every
# trial is in selected_trials.csv. `make reproduce` only reads this file. What is not in it was not chosen on data.
"""


def main(arguments: Iterable[str] | None = None) -> None:
    """Run all stages with a profile, and rewrite selected.yaml and selected_trials.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--real", default="", help="folder of real motion, for the first stage")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Paths.of(profiles.validate("03_pretraining", profile=options.profile)).build / "select"
    folder.mkdir(parents=True, exist_ok=True)
    settings, trials = select(options.profile, options.jobs, folder, options.real and str(Path(options.real).resolve()))
    text = yaml.safe_dump(settings, sort_keys=False, default_flow_style=None)
    files.write_text(methods.SELECTED, HEADER.format(profile=options.profile) + text)
    files.write_csv(methods.SELECTED.with_name("selected_trials.csv"), trials.assign(profile=options.profile).round(4))


if __name__ == "__main__":
    main()
