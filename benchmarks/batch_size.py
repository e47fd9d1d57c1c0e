"""Study of the batch size: pre-training of ours with several batch sizes, measured on validation and never on test.

    python benchmarks/batch_size.py [--profile demo] [--epochs N]      needs a finished run of make reproduce

The paper states a batch size of 16 and a learning rate of 3e-4. The study also uses a batch size of 16 and larger ones with
the rate that ``make select`` chose, times the square root of (batch size / the profile's batch size). Each setting is trained
for the same number of epochs (the profile's, or N), then for as many epochs as fit into the seconds of the paper's setting.
There is one seed, so differences of a few points have no meaning. The results are in results/bench/batch_size/.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import bench
import pandas as pd

from dancemvp_core import files
from dancemvp_core.controls import selection
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining import methods, networks, pretrained, training
from dancemvp_core.pretraining.pretrained import Pretraining
from dancemvp_core.runs import profiles, provenance

PAPER = (16, 3e-4)
LARGER = (32, 64, 256)
OURS = methods.METHODS["ours"]
COLUMNS = "equal batch_size learning_rate epochs seconds loss task1_accuracy task2_l2 task3_mse".split()


def settings(batch_size: int, learning_rate: float) -> list[tuple[int, float]]:
    """Return the settings to compare as (batch size, learning rate), the paper's first.

    The arguments are the profile's batch size and the selected learning rate.
    """
    return [PAPER, *((n, learning_rate * (n / batch_size) ** 0.5) for n in (PAPER[0], *LARGER))]


def trial(pieces: PieceSet, params, how: training.Training) -> dict:
    """Return the seconds and the loss of a pre-training, and the measures of the three tasks on validation."""
    width = networks.Width.of(params)
    encoder, history = Pretraining(OURS.pretraining, 0, pieces, IMPERIALDANCE21, width, how).run()
    value = selection.on_validation(encoder, OURS.protocol, pieces, params.profile)
    measured = {f"task{task}_{metric}": value[task] for task, (metric, _) in selection.MEASURES.items()}
    return {"seconds": history["seconds"].sum(), "loss": history["loss"].iloc[-1]} | measured


def study(pieces: PieceSet, params, epochs: int) -> pd.DataFrame:
    """Return a table with one row for each setting and budget ("epochs" or "seconds")."""
    chosen = pretrained.training_of(params.pretraining, params)
    rows, seconds = [], {}
    for budget in ("epochs", "seconds"):
        for size, rate in settings(chosen.batch_size, chosen.learning_rate):
            n = epochs
            if budget == "seconds":
                n = max(1, round(epochs * seconds[PAPER] / seconds[size, rate]))
            how = replace(chosen, batch_size=size, learning_rate=rate, epochs=n)
            same = [r for r in rows if (r["batch_size"], r["learning_rate"], r["epochs"]) == (size, rate, n)]
            measured = same[0] if same else trial(pieces, params, how)
            row = measured | {"equal": budget, "batch_size": size, "learning_rate": rate, "epochs": n}
            seconds.setdefault((size, rate), row["seconds"])
            rows.append(row)
            print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    return pd.DataFrame(rows)[COLUMNS]


def main(arguments: list[str] | None = None) -> int:
    """Run the study, print and save it; return 0, or 2 if there is no finished run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo", choices=profiles.PROFILES)
    parser.add_argument("--epochs", type=int, help="epochs of the budget with equal epochs (default: the profile's)")
    options = parser.parse_args(arguments)
    if (run := bench.opened("batch_size", options.profile)) is None:
        return 2
    params, where = run
    facts = bench.machine(where.pieces.motion.device)
    print(facts, flush=True)
    table = study(where.pieces, params, options.epochs or params.epochs)
    path = profiles.project_root() / "results" / "bench" / "batch_size" / f"{options.profile}-{bench.slug(facts)}.csv"
    files.write_csv(path, table.assign(synthetic=True))
    sidecar = {"file": path.name, "sha256": files.sha256(path), "machine": facts, "profile": options.profile}
    files.write_json(path.with_name(f"{path.name}.prov.json"), sidecar | provenance.environment())
    return 0


if __name__ == "__main__":
    sys.exit(main())
