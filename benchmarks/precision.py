"""Study of the precision: each motion encoder is trained in float32 and in bfloat16, and measured on validation.

    python benchmarks/precision.py [--profile demo] [--seeds 2] [--only stgcn,tx]     needs a finished run of make reproduce

If the processor has no bfloat16, the study emulates it: every matrix product and convolution reads and writes bfloat16 and
sums in float32, as the hardware does, but more slowly. The music encoder (LSTM) stays in float32, because it is small and
oneDNN's LSTM has no bfloat16 on many processors. The results are in results/bench/precision/. ``encoders.BFLOAT16`` is chosen
by them.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

import bench
import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from dancemvp_core import files
from dancemvp_core.controls import selection
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.device import has_bfloat16
from dancemvp_core.models import encoders
from dancemvp_core.pretraining import methods, networks, pretrained, training
from dancemvp_core.pretraining.pretrained import Pretraining
from dancemvp_core.runs import profiles, provenance

ROWS = {"stgcn": "ours", "tx": "tx-lstm-infonce", "res18": "res18-lstm-infonce"}
PRODUCTS = {
    torch.ops.aten.convolution, torch.ops.aten.convolution_backward, torch.ops.aten.mm, torch.ops.aten.addmm,
    torch.ops.aten.bmm, torch.ops.aten.baddbmm,
}  # fmt: skip


class Emulated(TorchDispatchMode):
    """Emulation of bfloat16: products of bfloat16 tensors are computed in float32 and rounded, at the speed of float32."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        half = any(isinstance(a, torch.Tensor) and a.dtype == torch.bfloat16 for a in arguments)
        if function.overloadpacket not in PRODUCTS or not half:
            return function(*arguments, **options)
        wide = tree_map(lambda a: a.float() if isinstance(a, torch.Tensor) else a, (arguments, options))
        return tree_map(lambda a: a.bfloat16() if isinstance(a, torch.Tensor) else a, function(*wide[0], **wide[1]))


def trained(row: str, seed: int, half: bool, pieces: PieceSet, params) -> dict:
    """Return the loss and the measures of the three tasks on validation for a row that is trained in one precision."""
    method = methods.METHODS[row]
    params = params.model_copy(update={"pretraining": method.pretraining})
    emulate = half and not has_bfloat16(pieces.motion.device)
    training.precision_for = lambda *_: "bfloat16" if half else "float32"
    with Emulated() if emulate else contextlib.nullcontext():
        width, how = networks.Width.of(params), pretrained.training_of(params.pretraining, params)
        encoder, history = Pretraining(method.pretraining, seed, pieces, IMPERIALDANCE21, width, how).run()
    value = selection.on_validation(encoder, method.protocol, pieces, params.profile)
    measured = {f"task{task}_{metric}": value[task] for task, (metric, _) in selection.MEASURES.items()}
    facts = {"seed": seed, "precision": "bfloat16" if half else "float32", "emulated": emulate}
    return facts | {"loss": history["loss"].iloc[-1]} | measured


def main(arguments: list[str] | None = None) -> int:
    """Run the study, print and save it; return 0, or 2 if there is no finished run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo", choices=profiles.PROFILES)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default=",".join(ROWS), help="encoders, e.g. stgcn,tx")
    options = parser.parse_args(arguments)
    if (run := bench.opened("precision", options.profile)) is None:
        return 2
    params, where = run
    for kind in (encoders.STGCN, encoders.Transformer, encoders.ResNet):
        encoders.BFLOAT16[kind] = ("cpu", "cuda")  # the study tries all of them
    pieces, rows = where.pieces, []
    for name in options.only.split(","):
        for seed in range(options.seeds):
            for half in (False, True):
                rows.append({"encoder": name} | trained(ROWS[name], seed, half, pieces, params))
                print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    facts = bench.machine(where.pieces.motion.device)
    path = profiles.project_root() / "results" / "bench" / "precision" / f"{options.profile}-{bench.slug(facts)}.csv"
    files.write_csv(path, pd.DataFrame(rows).assign(synthetic=True))
    sidecar = {"file": path.name, "sha256": files.sha256(path), "machine": facts, "profile": options.profile}
    files.write_json(path.with_name(f"{path.name}.prov.json"), sidecar | provenance.environment())
    return 0


if __name__ == "__main__":
    sys.exit(main())
