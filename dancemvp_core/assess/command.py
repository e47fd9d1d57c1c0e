"""``dancemvp assess``: from files to the report's files, within seconds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

from dancemvp_core.assess import recording
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.runs import profiles

DEFAULT_PROFILE = "demo"


def default_checkpoint() -> Path:
    """Where ``make reproduce`` leaves the assessor: of the demo profile, on SynthDance."""
    return profiles.project_root() / "build" / DEFAULT_PROFILE / profiles.SYNTHDANCE / "assessor.safetensors"


def assess(
    motions: list[Path],
    music: Path,
    out: Path,
    checkpoint: Path | None = None,
    tell: Callable[[str], None] = print,
    **how,
) -> dict:
    """Assess recordings of one choreography danced to ``music`` and write ``report.html``, ``.json`` and ``.png`` to ``out``.

    ``how`` goes to ``recording.read``. Returns the report. Raises DataError, in one line and with nothing written, for
    input that cannot be used or a checkpoint that is not there.
    """
    checkpoint = checkpoint or default_checkpoint()
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint}: no assessor there; `make reproduce` makes one, or name one with --checkpoint")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file, expected a folder for the report (--out)")
    recordings = [recording.read(path, music, **how) for path in motions]
    # Music and rhythm need librosa and scipy.signal, all else torch: two processes import them side by side. The other one is
    # ended at once where the checkpoint is refused.
    with multiprocessing.get_context("spawn").Pool(1) as beside:
        heard = beside.map_async(recording.hear, recordings)
        from dancemvp_core.assess import assessment, assessor, page, pictures

        trained = assessor.load(checkpoint)
        report = assessment.report(recordings, heard.get(), trained)
    figures = pictures.all_of(report, recordings)
    page.write(out, report, figures)
    for part in report["recordings"]:
        tell(f"{part['file']}")
        for line in assessment.headline(part):
            tell(f"  {line}")
    tell(f"Report: {out / 'report.html'}")
    return report
