"""The workspace of an evaluation: the pieces, the skeleton, the size of the networks and the folders of the run."""

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
    """The cut pieces of one profile and data set on the computing device, and the folders of their results."""

    pieces: PieceSet
    skeleton: Skeleton
    width: Width
    paths: Paths

    @classmethod
    def open(cls, run: Run, skeleton: Skeleton) -> Workspace:
        """Return the workspace of a notebook's run, and record the pieces as its input.

        Raises DataError if the pieces have not been cut yet, or if the split asks for people and they have no names.
        """
        paths, params = run.paths, run.params
        if not (paths.pieces / "pieces.safetensors").exists():
            missing = f"no pieces of {paths.dataset} for the profile {params.profile}"
            raise DataError(f"{paths.pieces}: {missing}; run make reproduce PROFILE={params.profile} first")
        run.add_input(paths.pieces)
        pieces = PieceSet.load(paths.pieces, pick_device())
        if params.split == "people" and "dancer" not in pieces.table:
            raise DataError(f"{paths.pieces}: split 'people', and no piece names its dancer; delete this folder, and run again")
        return cls(pieces, skeleton, Width.of(params), paths)

    @property
    def choreographies(self) -> int:
        """The number of test choreographies (g in the tables)."""
        return self.pieces.table.loc[self.pieces.table["split"] == "test", "choreography"].nunique()
