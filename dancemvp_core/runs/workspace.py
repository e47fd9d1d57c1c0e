"""What every evaluation needs at hand: the pieces, the skeleton, the networks' size and the run's folders."""

from __future__ import annotations

from dataclasses import dataclass

from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import Skeleton
from dancemvp_core.device import pick_device
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.runs.provenance import Paths, Run


@dataclass(frozen=True, eq=False)
class Workspace:
    """The cut pieces of one profile and data set, on the device that computes, and where their results are."""

    pieces: PieceSet
    skeleton: Skeleton
    width: Width
    paths: Paths

    @classmethod
    def open(cls, run: Run, skeleton: Skeleton) -> Workspace:
        """The pieces of a notebook's run, noted as its input. DataError where they have not been cut yet."""
        paths, params = run.paths, run.params
        if not (paths.pieces / "pieces.safetensors").exists():
            missing = f"no pieces of {paths.dataset} at profile {params.profile}"
            raise DataError(f"{paths.pieces}: {missing}; expected a finished make reproduce PROFILE={params.profile}")
        run.add_input(paths.pieces)
        return cls(PieceSet.load(paths.pieces, pick_device()), skeleton, Width.of(params), paths)

    @property
    def choreographies(self) -> int:
        """Number of test choreographies: g of the tables."""
        return self.pieces.table.loc[self.pieces.table["split"] == "test", "choreography"].nunique()
