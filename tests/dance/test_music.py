"""Reading windows of audio, the five acoustic features, and bringing them onto the clip's clock."""

import os

import numpy as np
import pytest
import soundfile

from dancemvp_core.dance import music
from dancemvp_core.dance.music import FEATURES, SAMPLE_RATE
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import synthmusic


def clicks(times_s, duration_s, rate=SAMPLE_RATE):
    """Short noise bursts at given times."""
    rng = np.random.default_rng(0)
    out = 1e-3 * rng.standard_normal(round(duration_s * rate))
    burst = rng.standard_normal(round(0.03 * rate)) * np.exp(-np.arange(round(0.03 * rate)) / (0.006 * rate))
    for time in times_s:
        at = round(time * rate)
        out[at : at + len(burst)] += 0.3 * burst[: len(out) - at]
    return out.astype(np.float32)


def tone(hertz, duration_s, rate=SAMPLE_RATE):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(duration_s * rate)) / rate)).astype(np.float32)


BEAT_S = 0.5  # 120 BPM
BEATS = np.arange(0.2, 14.9, BEAT_S)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """15 s of a beat at 120 BPM, as a file."""
    path = tmp_path_factory.mktemp("music") / "k_ch0.flac"
    soundfile.write(path, clicks(BEATS, 15.0), SAMPLE_RATE)
    return path


# --- reading


def test_the_whole_file_is_mono_float_at_the_common_rate(tmp_path):
    path = tmp_path / "stereo.wav"
    left, right = tone(440, 2, 48000), tone(220, 2, 48000)
    soundfile.write(path, np.stack([left, right], axis=1), 48000, subtype="FLOAT")
    samples, rate = music.load_audio(path)
    assert rate == SAMPLE_RATE and samples.dtype == np.float32 and samples.shape == (2 * SAMPLE_RATE,)
    inner = slice(1000, -1000)  # the resampling filter rings at both ends
    assert samples[inner] == pytest.approx((tone(440, 2) + tone(220, 2))[inner] / 2, abs=1e-3)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_window_is_cut_where_it_was_asked_for(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, clicks([2.25], 5.0, 44100), 44100)
    samples, _ = music.load_audio(path, offset_s=2.0, duration_s=1.5)
    assert len(samples) == pytest.approx(1.5 * SAMPLE_RATE, abs=2)
    assert np.abs(samples).argmax() / SAMPLE_RATE == pytest.approx(0.25, abs=0.01)


def bad_audio(tmp_path, kind):
    """(path, offset_s, duration_s) of something that is not usable music."""
    path, sound = tmp_path / "k_ch0.wav", tone(440, 3.0)
    if kind == "text":
        path.write_text("not audio at all\n" * 100)
    elif kind == "headerless":
        path = tmp_path / "k_ch0.raw"
        path.write_bytes(sound.tobytes())
    elif kind == "folder":
        path.mkdir()
    elif kind == "half a second":
        soundfile.write(path, sound[: SAMPLE_RATE // 2], SAMPLE_RATE)
    elif kind == "silent":
        soundfile.write(path, 5e-4 * sound, SAMPLE_RATE, subtype="FLOAT")
    elif kind == "a constant":
        soundfile.write(path, np.full_like(sound, 0.5), SAMPLE_RATE, subtype="FLOAT")
    elif kind in ("nan", "inf"):
        sound[1000] = float(kind)
        soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
    elif kind == "empty":
        path.touch()
    elif kind != "missing":
        soundfile.write(path, sound, SAMPLE_RATE)
    window = {"window beyond the end": (2.0, 1.5), "offset beyond the end": (4.0, None)}
    window |= {"short window": (0.0, 0.5), "negative offset": (-1.0, 2.0), "nan window": (0.0, float("nan"))}
    return (path, *window.get(kind, (0.0, None)))


BAD = {
    "text": "not an audio file",
    "headerless": "not an audio file",
    "empty": "not an audio file",
    "folder": "no such file",
    "missing": "no such file",
    "half a second": "0.50 s of audio, expected at least 1 s",
    "silent": "silent",
    "a constant": "silent",
    "nan": "NaN",
    "inf": "infinite",
    "window beyond the end": "beyond the file",
    "offset beyond the end": "beyond the file|a window of",
    "short window": "expected at least 1 s",
    "negative offset": "expected finite times from 0",
    "nan window": "expected finite times",
}


@pytest.mark.parametrize("kind", BAD)
def test_unusable_music_is_one_line_naming_the_file(tmp_path, kind):
    path, offset_s, duration_s = bad_audio(tmp_path, kind)
    with pytest.raises(DataError, match=BAD[kind]) as fault:
        music.load_audio(path, offset_s, duration_s)
    assert str(fault.value).startswith(f"{path}: ") and "\n" not in str(fault.value)
    assert "expected" in str(fault.value)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_truncated_file_is_refused_or_read_short_never_a_traceback(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, clicks(np.arange(0, 5, 0.3), 5.0), SAMPLE_RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=str(path)):
        music.load_audio(path, 0.0, 5.0)


def test_a_window_may_end_a_rounding_error_beyond_the_file(track):
    samples, _ = music.load_audio(track, 5.0, 10.0 + 0.01)
    assert len(samples) == 10 * SAMPLE_RATE


# --- acoustic features


def test_features_are_the_papers_five_by_name():
    kinds = [name.rsplit("_", 1)[0] if name[-1].isdigit() else name.split("_")[0] for name in FEATURES]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    assert counts == {"mfcc": 20, "mfcc_delta": 20, "chroma": 12, "tempo": 1, "onset": 1}


@pytest.mark.parametrize("duration_s", [1.0, 1.5, 7.0])
def test_shape_dtype_and_frame_times(duration_s):
    samples = clicks(np.arange(0.1, duration_s, 0.4), duration_s) + tone(440, duration_s)
    features = music.acoustic_features(samples, SAMPLE_RATE)
    assert features.shape == (54, 1 + len(samples) // 512) and features.dtype == np.float32
    assert np.isfinite(features).all()


@pytest.mark.filterwarnings("error")
def test_a_steady_tone_of_the_shortest_length_is_analysed_in_silence():
    features = music.acoustic_features(tone(220, 1.0), SAMPLE_RATE)
    assert np.isfinite(features).all()
    assert len(music.onset_peaks(tone(220, 8.0), SAMPLE_RATE)) == 0


def test_chroma_names_the_pitch_and_onset_strength_the_moment():
    rows = dict(zip(FEATURES, music.acoustic_features(tone(440, 4.0), SAMPLE_RATE), strict=True))
    pitch = max((name for name in FEATURES if name.startswith("chroma")), key=lambda name: rows[name].mean())
    assert pitch == "chroma_A"
    onset = music.acoustic_features(clicks([1.3], 3.0), SAMPLE_RATE)[FEATURES.index("onset_strength")]
    assert onset.argmax() * music.HOP_S == pytest.approx(1.3, abs=0.05)


def test_tempo_is_local_so_that_a_change_shows():
    slow, fast = clicks(np.arange(0.1, 20, 60 / 80), 20), clicks(np.arange(0.1, 20, 60 / 140), 20)
    tempo = music.acoustic_features(np.concatenate([slow, fast]), SAMPLE_RATE)[FEATURES.index("tempo")]
    hop = music.HOP_S
    assert np.median(tempo[: round(12 / hop)]) == pytest.approx(80, rel=0.05)
    assert np.median(tempo[-round(12 / hop) :]) == pytest.approx(140, rel=0.05)


@pytest.mark.parametrize("genre", ["b", "k"])
def test_a_lossy_codec_hardly_moves_the_mfcc(tmp_path, genre):
    rng = np.random.default_rng(0)
    samples = synthmusic.play(synthmusic.compose(genre, rng), 4, 24, np.array([3, 11]), rng)
    for suffix in ("flac", "ogg"):
        soundfile.write(tmp_path / f"a.{suffix}", samples, SAMPLE_RATE)
    kept, lossy = (music.acoustic_features(tmp_path / f"a.{suffix}")[:20] for suffix in ("flac", "ogg"))
    assert kept.shape == lossy.shape
    # with librosa's range of 80 dB, more than 0.2
    assert (np.abs(lossy - kept).mean(axis=1) / kept.std(axis=1)).mean() < 0.1


def test_mfcc_deltas_follow_the_mfcc():
    loud = clicks(np.arange(0, 2, 0.01), 2) * np.linspace(0.01, 1, 2 * SAMPLE_RATE, dtype=np.float32)
    features = music.acoustic_features(loud, SAMPLE_RATE)
    mfcc, delta = features[:20], features[20:40]
    # a delta is the local slope: its running sum is the coefficient again
    rebuilt = mfcc[:, 5:6] + np.cumsum(delta[:, 5:-5], axis=1)
    assert rebuilt[0] == pytest.approx(mfcc[0, 5:-5], abs=0.2 * float(np.ptp(mfcc[0])))


def test_a_file_its_samples_and_another_rate_give_the_same_features(track):
    samples, rate = music.load_audio(track)
    from_file = music.acoustic_features(track)
    assert (from_file == music.acoustic_features(samples, rate)).all()
    doubled = clicks(BEATS, 15.0, 44100)
    assert music.acoustic_features(doubled, 44100).shape == from_file.shape


def test_a_hop_in_seconds_sets_the_frame_rate():
    assert music.acoustic_features(tone(440, 2.0), SAMPLE_RATE, hop_s=0.1).shape == (54, 21)


def test_bad_samples_are_refused():
    with pytest.raises(ValueError, match="sr"):
        music.acoustic_features(tone(440, 2))
    with pytest.raises(ValueError, match="at least 1 s"):
        music.acoustic_features(tone(440, 0.9), SAMPLE_RATE)
    for samples in (np.zeros((2, SAMPLE_RATE)), np.full(2 * SAMPLE_RATE, np.nan)):
        with pytest.raises(ValueError, match="finite mono"):
            music.acoustic_features(samples, SAMPLE_RATE)


# --- beats and onset peaks


def test_beats_of_a_click_track(track):
    beats = music.beat_times(track)
    nearest = np.abs(beats[:, None] - BEATS).min(axis=1)
    assert len(beats) >= 0.85 * len(BEATS) and nearest.max() < 0.07


def test_onset_peaks_are_the_accents_and_not_every_beat():
    beats = np.arange(0.5, 14, 0.5)
    band = 0.01 * np.random.default_rng(1).standard_normal(15 * SAMPLE_RATE)
    samples = 0.05 * clicks(beats, 15.0) + clicks(beats[::4], 15.0) + band
    peaks = music.onset_peaks(samples, SAMPLE_RATE)
    assert peaks == pytest.approx(beats[::4], abs=0.06)


# --- one clock


def test_stretch_brings_every_time_onto_the_clip(track):
    found = music.analyse(track, 0.0, 15.0, 10.0)
    as_heard = music.analyse(track, 0.0, 15.0, 15.0)
    assert (found.duration_s, found.stretch, as_heard.stretch) == (10.0, pytest.approx(2 / 3), 1.0)
    assert found.beats_s == pytest.approx(as_heard.beats_s * 2 / 3)
    assert found.music_intensity_s == pytest.approx(as_heard.music_intensity_s * 2 / 3)
    assert found.feature_times_s == pytest.approx(as_heard.feature_times_s * 2 / 3)
    assert np.median(np.diff(found.beats_s)) == pytest.approx(BEAT_S * 2 / 3, abs=0.02)
    assert found.tempo_bpm == pytest.approx(120, rel=0.03)  # as one hears it
    assert found.features.shape == (54, len(found.feature_times_s))
    assert (found.onset == found.features[-1]).all()
    assert found.feature_times_s[0] == 0 and found.feature_times_s[-1] <= 10.0


def test_crop_hears_the_first_seconds_only(track):
    found = music.analyse(track, 0.0, 15.0, 10.0, time_normalisation="crop")
    first = music.analyse(track, 0.0, 10.0, 10.0)
    assert (found.features == first.features).all() and (found.beats_s == first.beats_s).all()
    assert found.stretch == 1.0 and found.beats_s.max() <= 10.0


def test_the_window_defaults_to_the_clip(track):
    assert (music.analyse(track, 2.0).features == music.analyse(track, 2.0, 10.0, 10.0).features).all()


def test_an_unknown_time_normalisation_is_refused(track):
    with pytest.raises(ValueError, match="'stretch' or 'crop'"):
        music.analyse(track, time_normalisation="squeeze")
    with pytest.raises(ValueError, match="positive"):
        music.analyse(track, clip_s=0)


@pytest.mark.parametrize("window_s", [0.0, -3.0, 0.5, 40.0, float("nan")])
def test_a_window_that_cannot_be_is_a_data_error(track, window_s):
    with pytest.raises(DataError, match=r"k_ch0\.flac"):
        music.analyse(track, 0.0, window_s, 10.0)


# --- the cache


def test_a_window_is_analysed_once(track, tmp_path, monkeypatch):
    cache = tmp_path / "deep" / "cache"
    first = music.analyse(track, 0.0, 15.0, cache=cache)
    assert len(list(cache.iterdir())) == 1
    moved = tmp_path / "other_name.flac"
    moved.write_bytes(track.read_bytes())
    monkeypatch.setattr(music, "load_audio", lambda *_: pytest.fail("the cached window was read again"))
    # found by content: neither the file's name nor the clip that it is stretched onto matters
    again = music.analyse(moved, 0.0, 15.0, 12.0, cache=cache)
    assert (again.features == first.features).all() and again.tempo_bpm == first.tempo_bpm
    assert again.beats_s == pytest.approx(first.beats_s * 1.2)


def test_another_window_or_other_content_is_another_entry(track, tmp_path):
    music.analyse(track, 0.0, 12.0, cache=tmp_path)
    music.analyse(track, 1.0, 12.0, cache=tmp_path)
    other = tmp_path / "other.flac"
    soundfile.write(other, clicks(BEATS + 0.1, 15.0), SAMPLE_RATE)
    music.analyse(other, 0.0, 12.0, cache=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 3 and not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "another array", "flipped bytes"])
def test_a_damaged_entry_is_analysed_again(track, tmp_path, damage):
    first = music.analyse(track, 0.0, 5.0, cache=tmp_path)
    (entry,) = tmp_path.iterdir()
    content = entry.read_bytes()
    if damage == "another array":
        np.savez(entry, features=np.zeros((3, 3)), beats_s=[], music_intensity_s=[], tempo_bpm=0.0)
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes(255 - b for b in content[middle : middle + 64]) + content[middle + 64 :]
        entry.write_bytes(
            {"truncated": content[:middle], "text": b"nonsense", "empty": b"", "flipped bytes": flipped}[damage]
        )
    again = music.analyse(track, 0.0, 5.0, cache=tmp_path)
    assert (again.features == first.features).all() and (again.beats_s == first.beats_s).all()
    assert entry.read_bytes() == content  # and the entry is whole again


def test_an_interrupted_write_leaves_nothing_behind(track, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        music.analyse(track, 0.0, 5.0, cache=tmp_path)
    assert not list(tmp_path.iterdir())


# --- real music


@pytest.mark.parametrize("name", ["vibe_ace", "sugar_plum_fairy", "lets_go_fishin", "hungarian_dance_5"])
def test_real_music_is_analysed(shared_data, name):
    found = music.analyse(shared_data / "music" / f"{name}.ogg", 5.0, 15.0, 10.0)
    assert found.features.shape == (54, 646) and np.isfinite(found.features).all()
    assert 20 <= len(found.beats_s) <= 45
    assert 5 <= len(found.music_intensity_s) <= 16
    assert 60 < found.tempo_bpm < 200


@pytest.mark.parametrize(("name", "beats_per_loop"), [("loop_amen", 4), ("loop_compus", 16)])
def test_the_tempo_of_a_tiled_drum_loop(shared_data, name, beats_per_loop):
    loop, rate = soundfile.read(shared_data / "music" / f"{name}.flac")
    samples = np.tile(loop.mean(axis=1), 1 + round(15 * rate) // len(loop))[: 15 * rate].astype(np.float32)
    truth = len(loop) / rate / beats_per_loop
    beats = music.beat_times(samples, rate)
    assert np.ptp(beats) / (len(beats) - 1) == pytest.approx(truth, rel=0.01)
