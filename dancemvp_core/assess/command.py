"""``dancemvp assess``: from the user's files to the files of the report, within seconds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

from dancemvp_core.assess import recording
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.runs import profiles

DEFAULT_PROFILE = "demo"


def default_checkpoint() -> Path:
    """The assessor file that ``make reproduce`` writes: demo profile, SynthDance."""
    return profiles.project_root() / "build" / DEFAULT_PROFILE / profiles.SYNTHDANCE / "assessor.safetensors"


def assess(
    motions: list[Path],
    music: Path,
    out: Path,
    checkpoint: Path | None = None,
    tell: Callable[[str], None] = print,
    **how,
) -> dict:
    """Assess recordings of one choreography danced to ``music``. Writes ``report.html``, ``.json`` and ``.png`` to ``out``.

    ``how`` goes to ``recording.read``; ``tell`` prints the lines of the result. Returns the report. Raises DataError, in
    one line and without writing anything, for unusable input or a missing checkpoint.
    """
    checkpoint = checkpoint or default_checkpoint()
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint}: no such assessor file; `make reproduce` makes one, or name one with --checkpoint")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file, expected a folder for the report (--out)")
    recordings = [recording.read(path, music, **how) for path in motions]
    # Music and rhythm need librosa and scipy.signal, all else needs torch. Two processes import them at the same time. The second
    # process ends at once if the checkpoint is refused.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        analyses = pool.map_async(recording.analyse, recordings)
        from dancemvp_core.assess import assessment, assessor, page, pictures

        trained = assessor.load(checkpoint)
        report = assessment.report(recordings, analyses.get(), trained)
    figures = pictures.all_of(report, recordings)
    page.write(out, report, figures)
    for part in report["recordings"]:
        tell(f"{part['file']}")
        for line in assessment.headline(part):
            tell(f"  {line}")
    tell(f"Report: {out / 'report.html'}")
    return report
