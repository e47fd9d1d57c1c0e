"""Music as people have it: MP3 without an index, an inverted channel, a constant part, other loudness."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dancemvp_core.dance import audio, music
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import reading

RATE = 22050
SECONDS = 6.0


def clicks(seconds=SECONDS, rate=RATE, seed=0):
    """Clicks every half second over noise that grows louder: (n,) floats."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * 880 * time) * (time % 0.5 < 0.05) + 0.05 * time / seconds * rng.normal(size=len(time))


def without_index(path, rate, channels):
    """Write clicks as an MP3 of variable bit rate, loud at first, and take the first frame away, which holds the Xing tag."""
    loud = clicks(rate=rate)[::-1]
    sound = np.stack([loud] * channels, axis=1)
    soundfile.write(path, sound, rate, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.5)
    content = path.read_bytes()
    assert b"Xing" in content[:200]
    path.write_bytes(content[audio._frame(content, 0)[0] :])
    return path


@pytest.mark.parametrize("rate", [44100, 22050, 11025])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tagged", [False, True])
def test_an_mp3_without_an_index_has_its_true_length(tmp_path, rate, channels, tagged):
    path = without_index(tmp_path / "vbr.MP3", rate, channels)
    if tagged:  # an ID3v2 tag of 300 bytes
        path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x02\x2c" + bytes(300) + path.read_bytes())
    assert abs(soundfile.info(path).duration - SECONDS) > 0.5, "libsndfile guesses"
    assert reading.audio_duration(path) == pytest.approx(SECONDS, abs=0.2)
    samples = audio.levelled(music.load_audio(path, 4.0, 1.9)[0])
    assert len(samples) == pytest.approx(1.9 * RATE, abs=2)
    expected = audio.levelled(clicks()[::-1][round(4.0 * RATE) : round(5.9 * RATE)])
    shift = np.argmax(np.correlate(samples, expected, mode="full")[len(expected) - 1 :][:4000]) / RATE
    assert shift < 0.15, "in time, but for the decoder's delay"


def test_a_file_with_an_index_is_left_alone(tmp_path):
    soundfile.write(tmp_path / "a.mp3", clicks(), RATE, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE")
    assert audio._with_index((tmp_path / "a.mp3").read_bytes()) is None
    assert reading.audio_duration(tmp_path / "a.mp3") == pytest.approx(SECONDS, abs=0.02)


@pytest.mark.parametrize("content", [b"", b"ID3", b"\xff\xfb\x90", b"\xff" * 400, b"la la la", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f"])
def test_mp3s_that_are_none(tmp_path, content):
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp3: not readable as audio"):
        reading.audio_duration(tmp_path / "a.mp3")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"none\.mp3: no such file"):
        reading.audio_duration(tmp_path / "none.mp3")


@settings(max_examples=8)
@given(gain=st.floats(0.02, 1.5), constant=st.floats(-0.2, 0.2), inverted=st.sampled_from([None, 0, 1]))
def test_loudness_constant_part_and_an_inverted_channel_change_nothing(tmp_path_factory, gain, constant, inverted):
    folder = tmp_path_factory.mktemp("loudness")
    sound = np.stack([clicks()] * 2, axis=1)
    soundfile.write(folder / "a.wav", sound, RATE, subtype="FLOAT")
    other = gain * sound
    if inverted is not None:
        other[:, inverted] *= -1
    soundfile.write(folder / "b.wav", other + constant, RATE, subtype="FLOAT")
    first, second = (music.analyse(folder / name, 0.0, 5.0, 5.0) for name in ("a.wav", "b.wav"))
    np.testing.assert_allclose(second.features, first.features, atol=2e-2)
    np.testing.assert_allclose(second.music_intensity_s, first.music_intensity_s)
    np.testing.assert_allclose(second.beats_s, first.beats_s)


def test_channels_that_agree_are_averaged():
    rng = np.random.default_rng(0)
    stereo = rng.normal(size=(1000, 2))
    np.testing.assert_allclose(audio.mono(stereo), stereo.mean(axis=1), atol=1e-6)
    assert not audio.levelled(np.zeros(100)).any()
