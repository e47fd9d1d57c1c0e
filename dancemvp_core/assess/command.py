"""``dancemvp assess``: from the user's files to the files of the report, within seconds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

from dancemvp_core import files
from dancemvp_core.assess import recording, shipped
from dancemvp_core.dance.sequences import DataError


def assess(
    motions: list[Path],
    music: Path,
    out: Path,
    checkpoint: Path | None = None,
    tell: Callable[[str], None] = print,
    **how,
) -> dict:
    """Assess recordings of one choreography danced to ``music``. Writes ``report.html``, ``.json`` and ``.png`` to ``out``.

    ``checkpoint`` is an assessor's file; None is the assessor that comes with the package. ``how`` goes to ``recording.read``;
    ``tell`` prints the lines of the result. Returns the report. Raises DataError, in one line and without writing anything, for
    unusable input or a missing checkpoint.
    """
    whose = "comes with the package" if checkpoint is None else f"is in {files.shown(checkpoint)}"
    named = f"These are the answers of the assessor that {whose}."
    checkpoint = checkpoint or shipped.ASSESSOR
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint}: no such assessor file; `make reproduce` makes one, or name one with --checkpoint")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: a file, expected a folder for the report (--out)")
    recordings = [recording.read(path, music, **how) for path in motions]
    # Music and rhythm need librosa and scipy.signal, all else needs torch. Two processes import them at the same time. The second
    # process ends at once if the checkpoint is refused.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        analyses = pool.map_async(recording.analyse, recordings)
        heard = pool.apply_async(recording.sound, (max(recordings, key=lambda one: one.duration_s),))
        from dancemvp_core.assess import assessment, assessor, page, pictures

        trained = assessor.load(checkpoint)
        report = assessment.report(recordings, analyses.get(), trained, named)
        figures = pictures.all_of(report, recordings)
        page.write(out, report, figures, recordings, heard.get())
    for part in report["recordings"]:
        tell(f"{part['file']}")
        for line in assessment.headline(part):
            tell(f"  {line}")
    tell(f"{named} {' '.join(report['assessor']['card']['Limits'][:1])}")
    tell(f"Report: {out / 'report.html'}")
    return report
