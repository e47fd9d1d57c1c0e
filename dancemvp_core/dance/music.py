"""Music: reading a window of an audio file, the paper's five acoustic features, beats, and music intensity.

All times are first computed on the clock of the audio file. ``analyse`` then converts them to the clock of the clip.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import librosa
import numpy as np
import soundfile
from scipy.ndimage import gaussian_filter1d

from dancemvp_core import files
from dancemvp_core.dance import audio
from dancemvp_core.dance.sequences import DataError

SAMPLE_RATE = 22050
HOP_S = 512 / SAMPLE_RATE  # librosa's default, 23 ms
SHORTEST_S = 1.0
SILENCE_DBFS = -60.0
# The log-mel spectrum of the MFCCs ends this far below the window's loudest band. librosa's default is 80 dB. Between 40 and 80 dB
# lies what a lossy codec leaves out: with 80 dB, OGG moves the MFCCs of SynthDance's music by 0.08 to 0.43 of their standard
# deviation, with 40 dB by 0.04 to 0.06.
MFCC_RANGE_DB = 40.0
WINDOW_SLACK_S = 0.05  # a window may end this far beyond the file: decoders round its length

FEATURES = (
    *(f"mfcc_{i}" for i in range(20)),
    *(f"mfcc_delta_{i}" for i in range(20)),
    *(f"chroma_{pitch}" for pitch in "C C# D D# E F F# G G# A A# B".split()),
    "tempo",
    "onset_strength",
)

# Onset-strength peaks replace the dancers' labels of music intensity. They must be as sparse as accents: one or two per
# bar, not one per hi-hat. With denser peaks, the tolerance of 0.2 s around each peak would cover most of the clip, and the
# beat alignment rate would be at its chance level.
ONSET_SMOOTHING_S = 0.03
ONSET_PEAK_DISTANCE_S = 0.8
ONSET_PEAK_PROMINENCE = 0.5  # share of the curve's 5th-to-98th percentile range
ONSET_RANGE_DB = 0.5  # a smaller range has no peaks: a held tone has a range of 0.05, music of 4 or more


def load_audio(path: str | Path, offset_s: float = 0.0, duration_s: float | None = None):
    """Read one window of an audio file, mixed to mono and resampled. Returns (float32 samples (n,), 22050).

    An inverted channel is turned, so that it cancels nothing. With ``duration_s`` None the window ends with the file. Only
    the window is decoded. Raises DataError if the file is not audio, contains NaN, is silent (peak below -60 dBFS) or
    shorter than 1 s, or if the window is not inside the file.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected an audio file (wav, flac, ogg, mp3)")
    try:
        with audio.open_sound(path) as file:
            rate, length_s = file.samplerate, file.frames / file.samplerate
            start, stop = _window(path, length_s, offset_s, duration_s)
            file.seek(round(start * rate))
            samples = audio.mono(file.read(round((stop - start) * rate), dtype="float32", always_2d=True))
    # TypeError: for some suffixes libsndfile expects a file without a header and asks for a sample rate.
    except (soundfile.SoundFileError, TypeError) as fault:
        reason = " ".join(str(fault).rsplit(":", 1)[-1].split())
        raise DataError(f"{path}: not an audio file ({reason}), expected wav, flac, ogg or mp3") from None
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: samples that are NaN or infinite, expected finite audio")
    if len(samples) < (stop - start - WINDOW_SLACK_S) * rate:
        raise DataError(
            f"{path}: truncated, {len(samples) / rate:.2f} s of audio from {start:.2f} s on, expected {stop - start:.2f} s"
        )
    if not np.ptp(samples) >= 2 * 10 ** (SILENCE_DBFS / 20):  # a constant part is silent too
        raise DataError(f"{path}: silent from {start:.2f} to {stop:.2f} s, expected a peak above {SILENCE_DBFS:.0f} dBFS")
    return _resample(samples, rate), SAMPLE_RATE


def _window(path, length_s, offset_s, duration_s) -> tuple[float, float]:
    if length_s < SHORTEST_S:
        raise DataError(f"{path}: {length_s:.2f} s of audio, expected at least {SHORTEST_S:.0f} s")
    duration = length_s - offset_s if duration_s is None else duration_s
    if not (0 <= offset_s < math.inf and -math.inf < duration < math.inf):
        raise DataError(f"{path}: window {offset_s} s + {duration_s} s, expected finite times from 0 s on")
    if offset_s + max(duration, 0) > length_s + WINDOW_SLACK_S:
        raise DataError(
            f"{path}: the window {offset_s:.2f} to {offset_s + duration:.2f} s ends beyond the file, "
            f"expected an end within its {length_s:.2f} s"
        )
    if duration < SHORTEST_S:
        raise DataError(f"{path}: a window of {duration:.2f} s, expected at least {SHORTEST_S:.0f} s")
    return offset_s, min(offset_s + duration, length_s)


def _resample(samples: np.ndarray, rate: float) -> np.ndarray:
    if rate == SAMPLE_RATE:
        return np.ascontiguousarray(samples, dtype=np.float32)
    resampled = librosa.resample(samples, orig_sr=rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    return resampled.astype(np.float32)


def _samples(path_or_samples, sr: float | None) -> np.ndarray:
    """Mono samples (n,) at SAMPLE_RATE and at one loudness, from a file or from samples: features of all sources are comparable."""
    if isinstance(path_or_samples, str | os.PathLike):
        return audio.levelled(load_audio(path_or_samples)[0])
    samples = np.asarray(path_or_samples, dtype=np.float32)
    if sr is None:
        raise ValueError("samples need their sample rate: pass sr")
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(f"expected finite mono samples (n,), got shape {samples.shape}")
    if len(samples) < SHORTEST_S * sr:
        raise ValueError(f"{len(samples) / sr:.2f} s of audio, expected at least {SHORTEST_S:.0f} s")
    return audio.levelled(_resample(samples, sr))


def _hop(hop_s: float) -> int:
    return max(1, round(hop_s * SAMPLE_RATE))


def _onset_strength(samples: np.ndarray, hop: int) -> np.ndarray:
    return librosa.onset.onset_strength(y=samples, sr=SAMPLE_RATE, hop_length=hop)


def acoustic_features(path_or_samples, sr: float | None = None, hop_s: float = HOP_S) -> np.ndarray:
    """Compute the paper's five acoustic features ("Motion and Music Encoders") per frame. Returns (54, T) float32.

    The input is an audio file, or mono samples (n,) with their rate ``sr``. FEATURES names the rows: 20 MFCC (of a log-mel
    spectrum within MFCC_RANGE_DB), their 20 deltas, 12 constant-Q chroma, tempo in BPM, onset strength. Frame t is centred on
    t * hop_s. The tempo is local (librosa's estimate around each frame), so it follows a change of tempo within the window.
    Raises DataError for an unusable file, ValueError for unusable samples or less than 1 s of them.
    """
    samples = _samples(path_or_samples, sr)
    hop = _hop(hop_s)
    return _features(samples, hop, _onset_strength(samples, hop))


def _features(samples: np.ndarray, hop: int, onset: np.ndarray) -> np.ndarray:
    mel = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, hop_length=hop)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=MFCC_RANGE_DB), n_mfcc=20)
    # Mode "nearest" also works for windows with fewer frames than the delta's width of nine.
    delta = librosa.feature.delta(mfcc, mode="nearest")
    with warnings.catch_warnings():
        # In a window of 1 s the lowest constant-Q filters are longer than the signal; librosa pads it.
        warnings.filterwarnings("ignore", message="n_fft=.* is too large")
        # Tuning 0: separate estimates would shift the pitch classes of one window against those of another window of the track.
        chroma = librosa.feature.chroma_cqt(y=samples, sr=SAMPLE_RATE, hop_length=hop, tuning=0.0)
    tempo = librosa.feature.tempo(onset_envelope=onset, sr=SAMPLE_RATE, hop_length=hop, aggregate=None)
    frames = len(onset)
    rows = [np.atleast_2d(block)[:, :frames] for block in (mfcc, delta, chroma, tempo, onset)]
    return np.nan_to_num(np.concatenate(rows)).astype(np.float32)


def _beats(onset: np.ndarray, hop: int) -> tuple[np.ndarray, float]:
    tempo, beats = librosa.beat.beat_track(onset_envelope=onset, sr=SAMPLE_RATE, hop_length=hop, units="time")
    return np.asarray(beats, dtype=np.float64), float(np.atleast_1d(tempo)[0])  # librosa >= 0.10.2: an array


def beat_times(path_or_samples, sr: float | None = None, hop_s: float = HOP_S) -> np.ndarray:
    """Track the beats of a file or of mono samples with librosa. Returns times in s from the first sample, empty without beats."""
    hop = _hop(hop_s)
    return _beats(_onset_strength(_samples(path_or_samples, sr), hop), hop)[0]


def _onset_peaks(onset: np.ndarray, hop_s: float) -> np.ndarray:
    smooth = gaussian_filter1d(onset.astype(np.float64), ONSET_SMOOTHING_S / hop_s)
    low, high = np.percentile(smooth, [5, 98])
    if not high - low > ONSET_RANGE_DB:
        return np.zeros(0)
    from scipy.signal import find_peaks  # the import takes a second, and a cached analysis does not need it

    frames, _ = find_peaks(
        smooth,
        prominence=ONSET_PEAK_PROMINENCE * (high - low),
        distance=max(1, round(ONSET_PEAK_DISTANCE_S / hop_s)),
    )
    return frames * hop_s


def onset_peaks(path_or_samples, sr: float | None = None, hop_s: float = HOP_S) -> np.ndarray:
    """Find the prominent maxima of onset strength. Returns times in s: music intensity where no dancer has labelled it.

    A peak rises by half of the curve's range, and peaks are at least 0.8 s apart. So they are accents, not all onsets.
    """
    hop = _hop(hop_s)
    return _onset_peaks(_onset_strength(_samples(path_or_samples, sr), hop), hop / SAMPLE_RATE)


@dataclass(frozen=True, eq=False)
class MusicAnalysis:
    """The analysis of one music window. All times are in s on the clip's clock.

    ``features`` (54, T) float32 belong to ``feature_times_s`` (T,). ``beats_s`` are librosa's beats. ``music_intensity_s``
    are the onset peaks, for choreographies that no dancer has labelled. ``tempo_bpm`` is the tempo of the audio file.
    ``stretch`` is clip seconds per second of music (1 for crop), so the tempo on the clip's clock is tempo_bpm / stretch.
    """

    features: np.ndarray
    feature_times_s: np.ndarray
    beats_s: np.ndarray
    music_intensity_s: np.ndarray
    tempo_bpm: float
    stretch: float
    duration_s: float

    @property
    def onset(self) -> np.ndarray:
        """Onset strength of each frame, (T,)."""
        return self.features[FEATURES.index("onset_strength")]


def analyse(
    path: str | Path,
    offset_s: float = 0.0,
    window_s: float | None = None,
    clip_s: float = 10.0,
    time_normalisation: str = "stretch",
    cache: str | Path | None = None,
) -> MusicAnalysis:
    """Compute features, beats and onset peaks of a music window, on the clock of a clip of ``clip_s`` seconds.

    The window starts ``offset_s`` into the file and lasts ``window_s`` (None: as long as the clip). "stretch" maps the
    whole window to the clip (times * clip_s / window_s); "crop" takes the first clip_s seconds of the window. ``cache`` is
    a folder that keeps one .npz per window; its key is the file's content, the window, the text of this module and
    librosa's version. Raises DataError for an unusable file or window, ValueError for an unknown mode.
    """
    window_s = clip_s if window_s is None else window_s
    if not clip_s > 0:
        raise ValueError(f"clip_s {clip_s}: expected a positive number of seconds")
    if time_normalisation == "stretch":
        heard_s, stretch = window_s, clip_s / window_s if window_s > 0 else math.nan
    elif time_normalisation == "crop":
        heard_s, stretch = min(window_s, clip_s), 1.0
    else:
        raise ValueError(f"time_normalisation {time_normalisation!r}: expected 'stretch' or 'crop'")
    found = _cached(Path(path), offset_s, heard_s, None if cache is None else Path(cache))
    return MusicAnalysis(
        features=found["features"],
        feature_times_s=np.arange(found["features"].shape[1]) * HOP_S * stretch,
        beats_s=found["beats_s"] * stretch,
        music_intensity_s=found["music_intensity_s"] * stretch,
        tempo_bpm=float(found["tempo_bpm"]),
        stretch=stretch,
        duration_s=clip_s,
    )


_ARRAYS = ("features", "beats_s", "music_intensity_s", "tempo_bpm")


def _analyse_window(path: Path, offset_s: float, heard_s: float) -> dict[str, np.ndarray]:
    samples = audio.levelled(load_audio(path, offset_s, heard_s)[0])
    hop = _hop(HOP_S)
    onset = _onset_strength(samples, hop)
    beats, tempo = _beats(onset, hop)
    arrays = (_features(samples, hop, onset), beats, _onset_peaks(onset, HOP_S), np.asarray(tempo))
    return dict(zip(_ARRAYS, arrays, strict=True))


def _cached(path: Path, offset_s: float, heard_s: float, cache: Path | None) -> dict[str, np.ndarray]:
    if cache is None or not path.is_file():
        return _analyse_window(path, offset_s, heard_s)
    digest = hashlib.sha256(path.read_bytes())
    # The text of these modules contains every constant, so an old analysis is not used after an edit.
    digest.update(Path(__file__).read_bytes() + Path(audio.__file__).read_bytes())
    digest.update(json.dumps([float(offset_s), float(heard_s), version("librosa")]).encode())
    entry = cache / f"{digest.hexdigest()}.npz"
    try:
        with np.load(entry) as stored:
            found = {name: stored[name] for name in _ARRAYS}
        if found["features"].ndim == 2 and len(found["features"]) == len(FEATURES):
            return found
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # absent or damaged: analyse again
    found = _analyse_window(path, offset_s, heard_s)
    cache.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=cache, suffix=".tmp")
    try:
        with files.naming_full_disk(entry), os.fdopen(handle, "wb") as file:
            np.savez(file, **found)
        os.replace(temporary, entry)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return found
