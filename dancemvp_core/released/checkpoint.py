"""The published checkpoint: fetched from the authors' drive, and read without running any code in it."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.released.encoder import ReleasedEncoder

DRIVE_FOLDER = "13D6fEwO97Uhs8kRckjajtZFVXNBtdbl9"
FILE = "checkpoint_ten_genres_seg_mlp256_75.pth.tar"
PARTS = {"state_dict_mo": "motion", "state_dict_mu": "music", "state_dict_mlp": "mlp"}


def load_checkpoint(path: str | Path) -> ReleasedEncoder:
    """Return the encoder in a .pth.tar of the released form, on the CPU and in evaluation mode.

    The file is read with ``weights_only``: a pickle that holds code is refused and not run. Raises DataError, in one line,
    for a file that is missing, truncated, of another form, or whose weights do not fit.
    """
    path = Path(path)
    expected = f"expected a checkpoint with {', '.join(PARTS)}"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, {expected}") from None
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault}), {expected}") from None
    except Exception as fault:  # the unpickler's own faults, and those of a broken archive
        raise DataError(f"{path}: {_what_is_wrong(path, fault)}, {expected}") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(part), dict) for part in PARTS):
        missing = [part for part in PARTS if not (isinstance(content, dict) and isinstance(content.get(part), dict))]
        raise DataError(f"{path}: no {missing[0]} in it, {expected}")
    encoder = ReleasedEncoder()
    for part, name in PARTS.items():
        _load(getattr(encoder, name), content[part], f"{path}: {part}")
    return encoder.eval()


def _what_is_wrong(path: Path, fault: Exception) -> str:
    """A fault of reading in few words: code in the pickle, a truncated archive, or no checkpoint at all."""
    with open(path, "rb") as file:
        head = file.read(2)
    if head != b"PK" and head[:1] != b"\x80":  # neither an archive nor a pickle: a drive's page in its place, for one
        return f"not a checkpoint ({type(fault).__name__})"
    if "weights_only" in str(fault).lower() or "Unsupported" in str(fault) or "global" in str(fault).lower():
        return "it holds more than weights (a pickle could run code) and is not opened"
    broken = head == b"PK" and not zipfile.is_zipfile(path)
    return "truncated or damaged" if broken else f"not a checkpoint ({type(fault).__name__})"


def _load(module: torch.nn.Module, weights: dict, where: str) -> None:
    """Load weights by name; DataError names the first that is missing, unknown, no tensor, or of another shape."""
    own = module.state_dict()
    for name, value in own.items():
        if not isinstance(weights.get(name), torch.Tensor):
            raise DataError(f"{where}: no weight {name}, expected {tuple(value.shape)}")
        if weights[name].shape != value.shape:
            raise DataError(f"{where}: {name} is {tuple(weights[name].shape)}, expected {tuple(value.shape)}")
    unknown = sorted(set(weights) - set(own))
    if unknown:
        raise DataError(f"{where}: unknown weight {unknown[0]}")
    module.load_state_dict(weights)


def fetch(out: str | Path, progress: Callable[[str], None] = print) -> Path:
    """Download the published checkpoint into a folder and return the file; one that is there already is kept.

    The file takes its name once it is whole and loads. Raises DataError where the drive cannot be reached or its quota is
    spent, with what to do.
    """
    import gdown

    out = Path(out)
    file, page = out / FILE, f"https://drive.google.com/drive/folders/{DRIVE_FOLDER}"
    if file.exists():
        load_checkpoint(file)
        return file
    by_hand = f"open {page} in a browser, download {FILE}, and put it into {out}"
    try:
        listed = gdown.download_folder(id=DRIVE_FOLDER, quiet=True, skip_download=True, use_cookies=False)
        wanted = [entry for entry in listed if Path(entry.path).name == FILE]
    except Exception as fault:  # gdown lets through whatever requests, urllib3, ssl and its parser raise
        raise DataError(f"{page}: cannot be listed ({type(fault).__name__}); check the network, or {by_hand}") from None
    if not wanted:
        raise DataError(f"{page}: lists no {FILE}; it may have moved")
    out.mkdir(parents=True, exist_ok=True)
    progress(FILE)
    try:
        _download(wanted[0].id, file, f"{page}: {FILE}", f"try again tomorrow, or {by_hand}")
    finally:
        with contextlib.suppress(OSError):  # rmdir removes only an empty folder: a failed run leaves none
            out.rmdir()
    return file


def _download(number: str, file: Path, what: str, advice: str) -> None:
    """Download the drive's file with this number; it takes its name once it is whole and loads."""
    import gdown

    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=file.parent) as folder:
        part = Path(folder) / FILE
        try:
            gdown.download(id=number, output=str(part), quiet=True, use_cookies=False)
        except Exception as fault:
            spent = "its quota for today is spent" if "quota" in str(fault).lower() or "many users" in str(fault).lower() else ""
            raise DataError(f"{what}: {spent or f'cannot be downloaded ({type(fault).__name__})'}; {advice}") from None
        try:
            load_checkpoint(part)
        except DataError as fault:
            raise DataError(f"{what}, as it came: {str(fault).removeprefix(f'{part}: ')}; {advice}") from None
        part.replace(file)
