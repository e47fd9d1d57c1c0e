"""`make select`: choose each method's settings on the validation choreographies and write selected.yaml.

Each method has at most four settings and one seed. The best setting has the best mean rank over the three tasks under the
method's own protocol. The test choreographies are not used. Finished runs are saved in build/, so that an interrupted
selection continues there.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
import yaml
from torch import nn

from dancemvp_core import files
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining import methods
from dancemvp_core.pretraining.pretrained import Pretraining, training_of
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Setting, evaluate, prompter_settings

# Factors on the profile's learning rate. All methods have this setting, and no paper's value can be used unchanged.
CANDIDATES = (1.0, 3.0)
MEASURES = {1: ("accuracy", False), 2: ("l2", True), 3: ("mse", True)}  # task -> (metric, smaller is better)

logger = logging.getLogger(__name__)


def trial(pretraining: str, protocol: str, factor: float, profile: str, folder: Path) -> dict:
    """Pre-train with one setting and return its measures on the validation choreographies; read a finished run from build/."""
    path = folder / f"{pretraining}-{protocol}-{factor}.json"
    if path.exists():
        return json.loads(path.read_text())
    torch.set_num_threads(1)
    params = profiles.validate("03_pretraining", profile=profile, pretraining=pretraining)
    where = Workspace.open(provenance.start(params), IMPERIALDANCE21)
    how = replace(training_of(params.pretraining, params), learning_rate=params.learning_rate * factor)
    run = Pretraining(pretraining, 0, where.pieces, where.skeleton, where.width, how)
    encoder, _ = run.finished(folder / f"{pretraining}-{factor}.safetensors")
    result = {"pretraining": pretraining, "protocol": protocol, "rate_factor": factor}
    result |= {f"task{task}": value for task, value in on_validation(encoder, protocol, where.pieces, profile).items()}
    files.write_json(path, result)
    return result


def on_validation(encoder: nn.Module, protocol: str, pieces: PieceSet, profile: str) -> dict[int, float]:
    """Return each task's measure (``MEASURES``) of an encoder under a protocol on the validation choreographies, seed 0."""
    params = profiles.validate("07_table4_fig7_prompting", profile=profile)
    features = Features.encoded(encoder, pieces, pieces.rows("validation"))
    setting = Setting(protocol, 0, params.shots, split="validation")
    outcome = evaluate("encoder", features, pieces, setting, prompter_settings(params))
    value = outcome.metrics.set_index(["task", "metric"])["value"]
    return {task: float(value[task, metric]) for task, (metric, _) in MEASURES.items()}


def mean_rank(trials: pd.DataFrame) -> pd.Series:
    """Return the mean rank of each run in ``trials`` over the tasks; 1 is the best."""
    ranks = [trials[f"task{t}"].rank(ascending=smaller) for t, (_, smaller) in MEASURES.items()]
    return sum(ranks) / len(ranks)


def choose(trials: pd.DataFrame, before: dict) -> dict:
    """Return the new selection: each pre-training gets its best factor, and the settings for all methods stay unchanged.

    ``more_seeds`` names the two best table rows after ours, with different pre-trainings. They get the full number of
    seeds, and the first one is the strongest baseline.
    """
    chosen = {k: v for k, v in before.items() if k in ("default", "prompter")}
    best = []
    for _, group in trials.groupby("pretraining", sort=False):
        winner = group.loc[mean_rank(group).idxmin()]
        best.append(winner)
        if winner["rate_factor"] != 1:
            chosen[winner["pretraining"]] = {"rate_factor": float(winner["rate_factor"])}
    ranked = pd.DataFrame(best)
    ranked = ranked.assign(rank=mean_rank(ranked)).sort_values("rank")
    ours = methods.METHODS["ours"].pretraining
    names = {m.pretraining: name for name, m in reversed(methods.METHODS.items())}
    chosen["more_seeds"] = [names[p] for p in ranked["pretraining"] if p in names and p != ours][:2]
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Run all settings of a profile and rewrite selected.yaml."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    params = profiles.validate("03_pretraining", profile=options.profile)
    folder = Paths.of(params).build / "select"
    rows = list((methods.METHODS | methods.EXTENSIONS | methods.SINGLE_MODALITY).values())
    distinct = {m.pretraining: m.protocol for m in rows[::-1]}
    work = [(p, protocol, f, options.profile, folder) for p, protocol in distinct.items() for f in CANDIDATES]
    trials = []
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for done, result in enumerate(pool.map(trial, *zip(*work, strict=True)), 1):
            trials.append(result)
            logger.info("%d of %d: %s", done, len(work), result)
    path = Path(methods.__file__).parent / "selected.yaml"
    chosen = choose(pd.DataFrame(trials), methods.selected())
    header = "# Chosen on the validation choreographies by `make select`; `make reproduce` only reads it.\n"
    files.write_text(path, header + yaml.safe_dump(chosen, sort_keys=False, default_flow_style=None))
    files.write_csv(folder / "trials.csv", pd.DataFrame(trials))
    for pretraining in distinct:  # so that a run does not train the chosen encoders again
        factor = chosen.get(pretraining, {}).get("rate_factor", 1.0)
        with files.replacing(Paths.of(params).encoder(pretraining, 0)) as path:
            shutil.copyfile(folder / f"{pretraining}-{factor}.safetensors", path)


if __name__ == "__main__":
    main()
