"""The ``dancemvp`` command: the few tasks that are not notebooks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dancemvp_core.runs.progress import print_anything

FETCHED = ("imperialdance", "bandai-namco", "umons-taichi", "aistpp", "checkpoint")

# Slow imports are inside the functions that need them, so that --help is fast.


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Print one line, as for all other unusable input. (argparse itself would add the usage.)"""
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


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number from 0 to 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dancemvp", description="DanceMVP: data sets, and the assessment of your own recordings.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser("data", help="write, check or fetch a data set")
    data = data.add_subparsers(required=True, metavar="COMMAND")

    synth = data.add_parser("synth", help="write SynthDance, synthetic data in ImperialDance's published format")
    synth.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    synth.add_argument("--trials", type=_count, default=100, help="trials in each file (%(default)s)")
    synth.add_argument("--seed", type=_seed, default=0, help="random seed; the same seed gives the same bytes (%(default)s)")
    synth.add_argument(
        "--dancers", choices=("seen", "unseen"), default="seen", help="unseen: the test choreographies by other dancers"
    )
    synth.add_argument(
        "--style", type=_share, default=0.0, help="personal style from 0 to 1; above 0: the test choreographies only (%(default)s)"
    )
    synth.add_argument("--split", choices=("released",), help="whose test choreographies those are (default: ours)")
    synth.add_argument("--jobs", type=_count, default=2, help="parallel jobs (%(default)s)")
    synth.set_defaults(run=_synth)

    check = data.add_parser("check", help="print the data card; exit code 1 if a part is unusable, 2 if everything is")
    check.add_argument("path", type=Path, metavar="PATH", help="folder or manifest (dancemvp_core/datasets/README.md)")
    check.add_argument("--split", choices=("released",), help="the card for this split, with its leak of music")
    check.set_defaults(run=_check)

    fetch = data.add_parser("fetch", help="download a public data set, or the authors' published checkpoint")
    fetch.add_argument("source", choices=FETCHED, metavar="|".join(FETCHED))
    fetch.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    fetch.set_defaults(run=_fetch)

    assess = commands.add_parser("assess", help="assess your own recording: what is danced, how well, how much on the beat")
    assess.add_argument(
        "motion",
        nargs="+",
        type=Path,
        metavar="MOTION",
        help=".npy, .csv, .bvh, .c3d or AIST++ .pkl; several recordings of one choreography show the progression",
    )
    assess.add_argument("music", type=Path, metavar="MUSIC", help="the music of the dance, in any format of libsndfile")
    assess.add_argument("--offset", type=_seconds, default=0.0, metavar="S", help="where in the music the motion begins, in s")
    assess.add_argument("--fps", type=_seconds, help="frames per second, in place of what the file states")
    assess.add_argument("--layout", choices=("TVC", "CTV"), help="axes of .npy: frames, joints, xyz or xyz, frames, joints")
    assess.add_argument("--skeleton", help="imperialdance21, coco17, h36m17 or a skeleton JSON (default: recognised from the file)")
    assess.set_defaults(run=_assess)
    example = commands.add_parser("example", help="assess the synthetic recording that comes with the package")
    example.set_defaults(run=_example)
    for command in (assess, example):
        command.add_argument(
            "--checkpoint", type=Path, help="another assessor.safetensors (default: the one that comes with the package)"
        )
        command.add_argument("--out", type=Path, default=Path("assessment"), help="folder of the report (./%(default)s)")
    _add_released(commands)
    return parser


def _add_released(commands) -> None:
    """Add ``released`` and its commands, which have the same three arguments."""
    released = commands.add_parser("released", help="the published checkpoint: embeddings, t-SNE and Task 1, as released")
    released = released.add_subparsers(required=True, metavar="COMMAND")
    for name, text in (
        ("embed", "encode every performance: embeddings.parquet, features.safetensors"),
        ("tsne", "map the released test choreographies: tsne.png, .pdf and .csv"),
        ("task1", "tune as released and print the accuracy on test: task1.csv"),
    ):
        command = released.add_parser(name, help=text)
        command.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the .pth.tar of `dancemvp data fetch checkpoint`")
        command.add_argument("data", type=Path, metavar="DATA", help="ImperialDance tree with its music, or a manifest")
        command.add_argument("out", type=Path, metavar="OUT", help="folder to write; embeddings in it are used again")
        command.set_defaults(run=_released, command=name)
        if name == "task1":
            command.add_argument("--epochs", type=_count, default=200, help="passes over the pieces to tune (%(default)s)")
            command.add_argument("--seed", type=_seed, default=0, help="random seed of the text tower (%(default)s)")


def _synth(arguments) -> int:
    from tqdm import tqdm

    from dancemvp_core import files
    from dancemvp_core.datasets import synthdance
    from dancemvp_core.tasks import splits

    a = arguments
    dancers = synthdance.Dancers(a.dancers, a.style)
    choreographies = list(splits.TEST) if a.split and dancers != synthdance.Dancers() else None
    with files.naming_full_disk(a.out), tqdm(desc="synth", unit="file", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int, file: str) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(file)

        synthdance.write(a.out, a.trials, a.seed, dancers, choreographies, a.jobs, progress)
    print(f"SynthDance written to {a.out}")
    return 0


def _check(arguments) -> int:
    from tqdm import tqdm

    from dancemvp_core import datasets
    from dancemvp_core.datasets import datacard
    from dancemvp_core.tasks import splits

    def progress(rows):
        return tqdm(rows, desc="check", disable=not sys.stderr.isatty())

    dataset, split = datasets.load(arguments.path), None
    if arguments.split:
        sets = splits.assign(dataset.index, arguments.split)
        split = datacard.RunSplit(arguments.split, sets, splits.heard_in_pretraining(dataset.index, sets))
    card = datacard.card(dataset, progress=progress, split=split)
    print(card.text(), end="")
    sys.stdout.flush()
    for fault in card.errors:
        _complain(fault)
    return 0 if card.usable else 1


def _fetch(arguments) -> int:
    def say(text: str) -> None:
        print(text, flush=True)

    if arguments.source == "checkpoint":
        from dancemvp_core.released import checkpoint

        print(f"the published checkpoint: {checkpoint.fetch(arguments.out, say)}")
        return 0
    from dancemvp_core.datasets import aistpp, bandainamco, imperialdance, umonstaichi

    if arguments.source == "imperialdance":
        fetched = imperialdance.fetch(arguments.out, progress=say)
        print(f"\n{fetched} motion files in {arguments.out}\n")
        print(imperialdance.music_list(arguments.out))
        return 0
    source = {"bandai-namco": bandainamco, "umons-taichi": umonstaichi, "aistpp": aistpp}[arguments.source]
    print(f"{source.fetch(arguments.out, say)} files in {arguments.out}; now: dancemvp data check {arguments.out}")
    return 0


def _assess(arguments) -> int:
    from dancemvp_core.assess import command, recording

    a = arguments
    how = {"offset_s": a.offset, "fps": a.fps, "layout": a.layout, "skeleton": recording.skeleton_of(a.skeleton)}
    command.assess(a.motion, a.music, a.out, a.checkpoint, **how)
    return 0


def _example(arguments) -> int:
    from dancemvp_core.assess import command, shipped

    known = shipped.example()
    print(f"{known['motion']} at {known['fps']:.5g} fps, {known['music']}")
    command.assess([known["motion"]], known["music"], arguments.out, arguments.checkpoint, fps=known["fps"])
    print(known["truth"]["said"])
    return 0


def _released(arguments) -> int:
    from dancemvp_core.released import command

    a = arguments
    how = {"epochs": a.epochs, "seed": a.seed} if a.command == "task1" else {}
    getattr(command, a.command)(a.checkpoint, a.data, a.out, **how, say=lambda text: print(text, flush=True))
    return 0


def _complain(message: object) -> None:
    """Print a message as one line on stderr, also if a file name contains line breaks."""
    print("dancemvp:", " ".join(str(message).split()), file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 1: done, but something is unusable or could not be reached. 2: the input cannot be used at all; stderr then has
    one line for each fault. 130: interrupted.
    """
    print_anything()
    arguments = _parser().parse_args(argv)
    # Imported only here, because it imports pandas.
    from dancemvp_core.dance.sequences import DataError

    try:
        return arguments.run(arguments)
    except DataError as fault:
        for message in (fault, *getattr(fault, "__notes__", ())):
            _complain(message)
        return 2
    except BrokenPipeError:  # the reader of a long card closed the pipe, as `head` does
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
