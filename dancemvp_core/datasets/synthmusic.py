"""The music of SynthDance: tracks of known tempo, played by a small synthesiser from patterns of the genre.

A track has a tempo, a key and a chord progression. A choreography is danced to a window of a track. All times here are in
seconds of the window itself, before it is stretched to the clip's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SAMPLE_RATE = 22050
PICKUP = 0.5  # in beats: time before the first beat and after the last, so that no beat is on the edge


@dataclass(frozen=True)
class Sound:
    """The music of a genre: tempo range in BPM, steps per beat (3: compound metre), patterns over one bar of 4 beats.

    Each pattern is a string of 4 x ``steps`` characters, 0..9 for loudness and ``.`` for silence. ``swing`` delays odd
    steps by that share of a step. ``chords`` are progressions in semitones above the key.
    """

    tempo: tuple[float, float]
    steps: int
    kick: str
    snare: str
    hat: str
    bass: str
    chord: str
    lead: str
    swing: float
    chords: tuple[tuple[tuple[int, ...], ...], ...]


_MAJOR, _MINOR, _SEVENTH, _MINOR7 = (0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 3, 7, 10)


def _progression(*chords):
    return tuple(tuple(root + interval for interval in kind) for root, kind in chords)


# Ballet is in compound metre (6/8, one beat is a dotted quarter note). A primitive still has eight beats.
SOUNDS = {
    "b": Sound((84, 96), 3,
               kick="7.....5.....", snare="...3.....3..", hat="1.....1.....",
               bass="9..6..8..6..", chord="8..6..8..6..", lead="5.25.25.25.2", swing=0.0,
               chords=(_progression((0, _MAJOR), (5, _MAJOR), (7, _MAJOR), (0, _MAJOR)),
                       _progression((0, _MINOR), (8, _MAJOR), (5, _MINOR), (7, _MAJOR)))),
    "k": Sound((114, 132), 4,
               kick="9...9...9...9...", snare="....5.......5...", hat="..4...4...4...4.",
               bass="8..5..5.8..5..5.", chord="7...6...7...6...", lead="4..3..4...3.4...", swing=0.0,
               chords=(_progression((9, _MINOR), (5, _MAJOR), (0, _MAJOR), (7, _MAJOR)),
                       _progression((0, _MAJOR), (7, _MAJOR), (9, _MINOR), (5, _MAJOR)))),
    "j": Sound((124, 148), 4,
               kick="8...7...8...7...", snare="....3.......3...", hat="6...6..36...6..3",
               bass="8...8...8...8...", chord="7...5.3.6...5...", lead="..3...4....4..3.", swing=0.3,
               chords=(_progression((2, _MINOR7), (7, _SEVENTH), (0, _MAJOR), (9, _SEVENTH)),
                       _progression((0, _SEVENTH), (5, _SEVENTH), (0, _SEVENTH), (7, _SEVENTH)))),
    "h": Sound((86, 100), 4,
               kick="9...7.3.9...7...", snare="3...5...3...5..2", hat="7.3.7.3.7.3.7.3.",
               bass="8...5...8...5...", chord="6...6...6...6...", lead="3...........3...", swing=0.25,
               chords=(_progression((0, _MINOR7), (8, _MAJOR), (0, _MINOR7), (7, _MINOR)),
                       _progression((0, _MINOR), (5, _MINOR7), (3, _MAJOR), (7, _SEVENTH)))),
    "u": Sound((98, 114), 4,
               kick="9...8...9...8...", snare="3...5...3...5...", hat="7.2.7.2.7.2.7.2.",
               bass="9...7.3.9...7.3.", chord="7...6...7...6...", lead="4..3..3.4..3..3.", swing=0.0,
               chords=(_progression((0, _MINOR), (8, _MAJOR), (3, _MAJOR), (10, _MAJOR)),
                       _progression((0, _MINOR), (10, _MAJOR), (8, _MAJOR), (7, _MINOR)))),
}  # fmt: skip


@dataclass(frozen=True)
class Track:
    """A track: genre letter, tempo in BPM, key (MIDI note of the bass), chord progression."""

    genre: str
    tempo_bpm: float
    key: int
    chords: tuple[tuple[int, ...], ...]

    @property
    def beat_s(self) -> float:
        """Length of a beat in seconds."""
        return 60.0 / self.tempo_bpm


def compose(genre: str, rng: np.random.Generator) -> Track:
    """Draw a track of a genre: tempo, key and progression."""
    sound = SOUNDS[genre]
    tempo = round(float(rng.uniform(*sound.tempo)), 2)
    return Track(genre, tempo, int(rng.integers(36, 47)), sound.chords[rng.integers(len(sound.chords))])


def window_beats(track: Track, beats: int) -> np.ndarray:
    """Times in s of the beats in a window of ``beats`` beats, (beats,)."""
    return (np.arange(beats) + PICKUP) * track.beat_s


def _decay(seconds, half_life):
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    # an attack of 3 ms; without it, the note would start with a click
    return t, np.minimum(t / 0.003, 1.0) * 0.5 ** (t / half_life)


def _kick():
    t, envelope = _decay(0.25, 0.05)
    return np.sin(2 * np.pi * (50 * t + 90 * 0.03 * (1 - np.exp(-t / 0.03)))) * envelope


def _noise(rng, seconds, half_life, low_cut):
    _, envelope = _decay(seconds, half_life)
    noise = rng.standard_normal(len(envelope))
    spectrum = np.fft.rfft(noise)
    frequency = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * (frequency / (frequency + low_cut)) ** 2, len(noise)) * envelope


@lru_cache(maxsize=512)  # a track repeats a few notes many times
def _tone(note, seconds, half_life, brightness):
    """A note (MIDI number) of decaying harmonics."""
    t, envelope = _decay(seconds, half_life)
    frequency = 440.0 * 2 ** ((note - 69) / 12)
    harmonics = [h for h in range(1, 9) if h * frequency < 0.45 * SAMPLE_RATE]
    return sum(brightness ** (h - 1) * np.sin(2 * np.pi * h * frequency * t) for h in harmonics) * envelope


def play(track: Track, first_beat: int, beats: int, accents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The waveform of a window, (samples,) float64 within -1..1: ``beats`` beats from the track's ``first_beat`` on.

    ``accents`` are the numbers of beats in the window that are played loudly by all instruments; the dancers label these
    accents.
    """
    sound, beat_s = SOUNDS[track.genre], track.beat_s
    length = round(beats * beat_s * SAMPLE_RATE)
    out = np.zeros(length + SAMPLE_RATE * 4)
    start_s = (PICKUP - first_beat) * beat_s  # time of the track's beat 0 in the window

    def put(wave, at_s, loudness):
        at = round(at_s * SAMPLE_RATE)
        wave = wave[max(0, -at) :]
        at = max(0, at)
        if at < length:
            out[at : at + len(wave)] += loudness * wave

    kick, snare, hat = _kick(), _noise(rng, 0.25, 0.045, 900), _noise(rng, 0.08, 0.015, 5000)
    snare[: len(_kick())] += 0.4 * _tone(55, len(kick) / SAMPLE_RATE, 0.03, 0.3)
    crash = _noise(rng, 0.9, 0.12, 2500)
    step_s = beat_s / sound.steps
    pluck = 0.25 if sound.steps == 3 else 0.35
    # Start one bar before the window: its notes still sound when the window begins.
    for bar in range(first_beat // 4 - 1, (first_beat + beats) // 4 + 1):
        chord = track.chords[bar % len(track.chords)]
        for step in range(4 * sound.steps):
            late = sound.swing * step_s if step % 2 else 0.0
            at = start_s + bar * 4 * beat_s + step * step_s + late
            hit = {v: getattr(sound, v)[step] for v in ("kick", "snare", "hat", "bass", "chord", "lead")}
            loud = {v: int(c) / 9 for v, c in hit.items() if c != "."}
            for wave, voice, gain in ((kick, "kick", 0.9), (snare, "snare", 0.5), (hat, "hat", 0.25)):
                if voice in loud:
                    put(wave, at, gain * loud[voice])
            if "bass" in loud:
                put(_tone(track.key + chord[0] % 12, 0.6, 0.12, 0.45), at, 0.4 * loud["bass"])
            if "chord" in loud:
                for note in chord:
                    put(_tone(track.key + 24 + note % 12, 0.9, 0.18, 0.4), at, 0.12 * loud["chord"])
            if "lead" in loud:
                note = chord[(step + bar) % len(chord)]
                put(_tone(track.key + 36 + note % 12, 0.5, pluck / 3, 0.3), at, 0.14 * loud["lead"])
    for beat in accents:
        at = window_beats(track, beats)[beat]
        chord = track.chords[((first_beat + beat) // 4) % len(track.chords)]
        put(crash, at, 0.35)
        put(kick, at, 0.5)
        for note in (chord[0] - 12, *chord, chord[0] + 12):
            put(_tone(track.key + 24 + note, 1.0, 0.15, 0.55), at, 0.12)
    out = np.tanh(0.9 * out[:length])
    return out * (0.9 / np.abs(out).max())
