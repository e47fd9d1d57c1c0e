"""The ``dancemvp`` command: the few things that are not notebooks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dancemvp_core.runs.progress import print_anything

# Every heavy import stands in the function that needs it, so that --help answers at once.


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, as for all other bad input; argparse's own adds the usage."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number from 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dancemvp", description="DanceMVP: data, and assessments of your own.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser("data", help="write, check or fetch a data set")
    data = data.add_subparsers(required=True, metavar="COMMAND")

    synth = data.add_parser("synth", help="write SynthDance, synthetic data in ImperialDance's published format")
    synth.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    synth.add_argument("--trials", type=_count, default=100, help="trials in each file (%(default)s)")
    synth.add_argument("--seed", type=_seed, default=0, help="same seed, same bytes (%(default)s)")
    synth.add_argument(
        "--dancers", choices=("seen", "unseen"), default="seen", help="unseen: the test choreographies by others"
    )
    synth.add_argument("--jobs", type=_count, default=2, help="processes (%(default)s)")
    synth.set_defaults(run=_synth)

    check = data.add_parser("check", help="print the data card; 1 where a part is unusable, 2 where all is")
    check.add_argument("path", type=Path, metavar="PATH", help="ImperialDance tree, AIST++ folder or manifest")
    check.set_defaults(run=_check)

    fetch = data.add_parser("fetch", help="download motion from its authors, and list the music to find")
    fetch.add_argument("source", choices=("imperialdance",), metavar="imperialdance")
    fetch.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    fetch.set_defaults(run=_fetch)

    assess = commands.add_parser("assess", help="assess a recording of your own: what, how well, how much on the beat")
    assess.add_argument(
        "motion", nargs="+", type=Path, metavar="MOTION", help=".npy, .csv, AIST++ .pkl or .bvh; several of one dance: progress"
    )
    assess.add_argument("music", type=Path, metavar="MUSIC", help="the music it was danced to, any format of libsndfile")
    assess.add_argument("--offset", type=_seconds, default=0.0, metavar="S", help="where in the music the motion begins, in s")
    assess.add_argument("--fps", type=_seconds, help="frames per second, where the file does not say (.npy)")
    assess.add_argument("--layout", choices=("TVC", "CTV"), help="axes of .npy: frames, joints, xyz or xyz, frames, joints")
    assess.add_argument("--skeleton", help="imperialdance21, coco17 or a skeleton JSON (default: recognised)")
    assess.add_argument("--checkpoint", type=Path, help="assessor.safetensors (default: the one of `make reproduce`)")
    assess.add_argument("--out", type=Path, default=Path("assessment"), help="folder of the report (./%(default)s)")
    assess.set_defaults(run=_assess)
    return parser


def _synth(arguments) -> int:
    from tqdm import tqdm

    from dancemvp_core import files
    from dancemvp_core.datasets import synthdance

    a = arguments
    with files.naming_full_disk(a.out), tqdm(desc="synth", unit="file", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int, file: str) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(file)

        synthdance.write(a.out, a.trials, a.seed, a.dancers, jobs=a.jobs, progress=progress)
    print(f"SynthDance written to {a.out}")
    return 0


def _check(arguments) -> int:
    from tqdm import tqdm

    from dancemvp_core.datasets import datacard

    def progress(rows):
        return tqdm(rows, desc="check", disable=not sys.stderr.isatty())

    card = datacard.card(arguments.path, progress=progress)
    print(card.text(), end="")
    sys.stdout.flush()
    for fault in card.errors:
        _complain(fault)
    return 0 if card.usable else 1


def _fetch(arguments) -> int:
    from dancemvp_core.datasets import imperialdance

    fetched = imperialdance.fetch(arguments.out, progress=lambda text: print(text, flush=True))
    print(f"\n{fetched} motion files in {arguments.out}\n")
    print(imperialdance.music_list(arguments.out))
    return 0


def _assess(arguments) -> int:
    from dancemvp_core.assess import command, recording

    a = arguments
    how = {"offset_s": a.offset, "fps": a.fps, "layout": a.layout, "skeleton": recording.skeleton_of(a.skeleton)}
    command.assess(a.motion, a.music, a.out, a.checkpoint, **how)
    return 0


def _complain(message: object) -> None:
    """One line on stderr, whatever stands in a file name."""
    print("dancemvp:", " ".join(str(message).split()), file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 1: done, and something is unusable or could not be reached. 2: input that cannot be used at all, with
    one line on stderr for each fault.
    """
    print_anything()
    arguments = _parser().parse_args(argv)
    # Only now: pandas comes with the records.
    from dancemvp_core.dance.sequences import DataError

    try:
        return arguments.run(arguments)
    except DataError as fault:
        for message in (fault, *getattr(fault, "__notes__", ())):
            _complain(message)
        return 2
    except BrokenPipeError:  # the reader of a long card has seen enough
        sys.stderr.close()
        return 0
    except OSError as fault:
        _complain(f"{fault.filename or 'a file'}: {fault.strerror or fault}")
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
