"""Audio files: opened with their true length, mixed to mono so that nothing cancels out, at one loudness."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import soundfile

OPPOSED = -0.5  # channels with a lower correlation have one inverted: their sum would be nearly silent
LOUDNESS = 0.1  # root mean square of the music that is analysed; full scale is 1

# MPEG audio, layer III (ISO 11172-3, 13818-3): kbit/s by index, for MPEG 1 and for MPEG 2 and 2.5; sample rates of MPEG 1
_KBITS = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)


def open_sound(path: str | Path) -> soundfile.SoundFile:
    """Open an audio file. Raises soundfile.SoundFileError, TypeError or OSError if it is none.

    The length of an MP3 of variable bit rate is in its index, the Xing tag. Without it libsndfile guesses the length from the
    first frame and stops there, so such a file is given one.
    """
    if Path(path).suffix.lower() == ".mp3":
        content = Path(path).read_bytes()
        indexed = _with_index(content)
        if indexed is not None:
            return soundfile.SoundFile(io.BytesIO(indexed))
    return soundfile.SoundFile(os.fsencode(path))  # a str must be valid UTF-8, bytes need not


def _with_index(content: bytes) -> bytes | None:
    """The MP3 with a Xing tag that states its number of frames; None if it has one, or is no MP3."""
    start = 10 + sum((b & 127) << (7 * (3 - i)) for i, b in enumerate(content[6:10])) if content[:3] == b"ID3" else 0
    first = _frame(content, start)
    if first is None:
        return None
    _, version, mono = first
    tag = 4 + {(1, False): 32, (1, True): 17, (2, False): 17, (2, True): 9}[version, mono]
    if content[start + tag : start + tag + 4] in (b"Xing", b"Info") or content[start + 36 : start + 40] == b"VBRI":
        return None
    frames, place = 0, start
    while (frame := _frame(content, place)) is not None:
        frames, place = frames + 1, place + frame[0]
    # Of the first header the tag's has no checksum, and a bit rate that gives it room.
    header = bytes([content[start], content[start + 1] | 1, content[start + 2] & 15 | 0x90, content[start + 3]])
    index = header + bytes(tag - 4) + b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return index + bytes(_frame(header, 0)[0] - len(index)) + content[start:]


def _frame(content: bytes, place: int) -> tuple[int, int, bool] | None:
    """(length in bytes, 1 for MPEG 1 and 2 for MPEG 2 and 2.5, mono) of the frame at a place; None if there is none."""
    head = content[place : place + 4]
    if len(head) < 4 or head[0] != 255 or head[1] & 0xE6 != 0xE2:
        return None
    kind, bits, rate = (head[1] >> 3) & 3, head[2] >> 4, (head[2] >> 2) & 3
    if kind == 1 or bits in (0, 15) or rate == 3:
        return None
    version = 1 if kind == 3 else 2
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[kind]
    length = (144 if version == 1 else 72) * 1000 * _KBITS[version][bits - 1] // hertz + ((head[2] >> 1) & 1)
    return length, version, head[3] >> 6 == 3


def mono(samples: np.ndarray) -> np.ndarray:
    """Channels (n, C) as one (n,) float32: their mean, each turned so that it agrees with the loudest."""
    centred = samples - samples.mean(axis=0, dtype=np.float64)
    power = (centred**2).sum(axis=0)
    loudest = int(np.argmax(power))
    opposed = centred.T @ centred[:, loudest] < OPPOSED * np.sqrt(power * power[loudest])
    return (samples * np.where(opposed, np.float32(-1), np.float32(1))).mean(axis=1).astype(np.float32)


def levelled(samples: np.ndarray) -> np.ndarray:
    """Mono samples (n,) float32 without their constant part and at the common loudness; all zeros stay so."""
    centred = samples - samples.mean(dtype=np.float64)
    loudness = np.sqrt(np.mean(centred**2))
    return (centred * (LOUDNESS / loudness if loudness > 0 else 1)).astype(np.float32)
