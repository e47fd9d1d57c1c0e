"""SynthDance: a simulator that writes ImperialDance's published tree, and the truth behind every trial.

ImperialDance cannot be shipped. So the default data set is simulated here and read by the same reader. The simulator has
stated assumptions; it is not a model of any person. The following properties are put in, so results on this data cannot
discover them:

- **Choreography.** A genre is a style and a vocabulary of moves (``synthmoves``). Its choreographies share moves, and some
  poses occur in all of them. There are three primitives; the third is the mirror image of the first. Accented strokes reach
  their maximum speed on an accent; a clip has 7 to 12 accents.
- **Music** (``synthmusic``). A window of 25 to 32 beats and 12 to 20 s is stretched to the clip's 10 s, as in ImperialDance.
  Choreographies that share a track in ImperialDance share one here. The music does not depend on the level.
- **Dancers.** There are two beginners, two intermediates and one expert. Each has a body and a personal style that do not
  change. One file contains the repetitions of one dancer, so *within a choreography, level is confounded with identity*: there,
  level accuracy is in part recognition of a person.
- **Strong style** (version 2, ``Dancers.style``). By default, dancers of one level move much alike. With a strong style, everyone
  has habits that do not depend on the level: posture, a preferred range for each limb, limbs that lead or follow, smooth or
  sharp strokes, a deep or flat bounce. The errors of the seen dancers are the same numbers with and without style.
- **Expertise** acts through timing error, missed and extra accents, range of motion, pose error, steadiness and sharpness.
  All of them vary from trial to trial, and the levels overlap.
- **Practice** over 100 trials lowers a beginner's errors a little, an intermediate's errors more, and an expert's errors not
  at all. A progression curve on this data set tests the measurement, not real dancers.
- **Score.** The score is a known function of the performance plus the mean noise of three raters. The noise is smallest for
  very good and very bad performances; its variance is part of the truth.

Every random number comes from a generator that is named by its purpose. So the same seed gives the same bytes for any
number of workers, and the first 20 trials are the same whether 20 or 100 are written.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from dancemvp_core.dance.sequences import LEVELS, DataError
from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21
from dancemvp_core.datasets import synthmoves, synthmusic
from dancemvp_core.datasets.imperialdance import CHOREOGRAPHIES, CLIP_S, FPS, MUSIC, SPLIT
from dancemvp_core.datasets.synthmoves import INDEX, NEUTRAL, ROTATIONS, STYLES, Style
from dancemvp_core.datasets.synthmusic import SAMPLE_RATE, Track

GENERATOR_VERSION = 1
STYLED_VERSION = 2  # of data whose dancers have a strong style
PRACTICE_TRIALS = 30.0  # trials after which practice has two thirds of its effect
MARKER_NOISE_M = 0.0004

TEST_CHOREOGRAPHIES = tuple(name for name, split in SPLIT.items() if split == "test")


@dataclass(frozen=True)
class Level:
    """A level: the mean of each error over 100 trials; ``practice`` is how far the errors fall."""

    timing_sd_s: float
    missed: float  # share of accents
    extra: float  # chance of each of two possible extra strokes
    amplitude: float
    pose_error_deg: float
    unsteadiness_deg: float
    slowness: float  # of a stroke
    practice: float


LEVEL = {
    "beginner": Level(0.200, 0.16, 0.25, 0.80, 9.5, 3.0, 1.14, 0.15),
    "intermediate": Level(0.120, 0.06, 0.12, 0.90, 6.5, 2.0, 1.07, 0.50),
    "expert": Level(0.040, 0.01, 0.03, 1.00, 4.5, 1.4, 1.00, 0.0),
}
# Variation from trial to trial: standard deviations of logarithms, in degrees, or in metres.
SPREAD = {
    "timing": 0.20, "pose_error": 0.20, "unsteadiness": 0.22, "amplitude": 0.07, "part": 0.08, "slowness": 0.10,
    "posture_deg": 3.0, "facing_deg": 12.0, "start_m": 0.25, "markers": 0.3,
}  # fmt: skip
# Variation from dancer to dancer.
PERSONAL = {"timing": 0.08, "posture_deg": 1.2, "range": 0.04, "bias_s": 0.015, "side": 0.03, "bone": 0.03}
# Largest habits of a dancer at style 1: degrees of a limb's rotations (half in the trunk), the logarithm of a limb's range, s by
# which a limb follows the trunk, the share of a stroke that is slow, and the logarithm of the bounce. The sizes were chosen so
# that hand-crafted features of a piece tell seen from unseen dancers of one choreography and level with an AUC of 0.98 (0.56
# without style), and not by the result of any method.
STYLE = {"posture_deg": 18.0, "range": 0.6, "delay_s": 0.06, "linger": 0.22, "groove": 1.0}
LIMBS = {"arm": ("shrug", "raise", "swing", "turn", "elbow"), "leg": ("hip", "out", "turnout", "knee", "point")}
# Directions in which the postures of dancers differ, in degrees per unit.
POSTURE = (
    {"bend": 0.8, "chest_bend": 0.8, "nod": -1.0},
    {"Lshrug": 1.0, "Rshrug": 1.0},
    {"Lelbow": 2.0, "Relbow": 2.0},
    {"Lhip": 1.0, "Rhip": 1.0, "Lknee": 2.0, "Rknee": 2.0},
    {"Lturnout": 1.5, "Rturnout": 1.5},
    {"Lraise": 1.5, "Rraise": 1.5},
    {"roll": 0.5, "side": 0.8, "tilt": 1.0},
    {"twist": 1.0, "look": 1.5},
)
_POSTURE = np.array([[row.get(name, 0.0) for name in ROTATIONS] for row in POSTURE])
# Pose errors and habits are larger in the limbs than in the trunk; a large tilt of the pelvis would make the body fall.
_POSE_ERROR = np.array([0.25 if n in ("pitch", "roll") else 1.0 if n[0] in "LR" else 0.5 for n in ROTATIONS])


def stream(seed: int, *names) -> np.random.Generator:
    """The random generator for one named purpose under a seed."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(digest[:16], "big")]))


# ---- choreography ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Choreography:
    """A choreography: beats and accents on the clip's clock, and the pose that the stroke on each accent reaches.

    ``beats_s`` (N,); ``accents`` (K,) indices of beats; ``keys`` (K + 1, 32) poses in rad, the first is the opening pose;
    ``travel_m`` (K, 2) across and forward in the stage's frame; ``stretch`` (K,) duration of each stroke relative to the
    style's; ``window_s`` length of the music.
    """

    name: str
    style: Style
    track: Track
    first_beat: int
    beats_s: np.ndarray
    accents: np.ndarray
    keys: np.ndarray
    travel_m: np.ndarray
    stretch: np.ndarray
    window_s: float
    clip_s: float = CLIP_S

    @property
    def accents_s(self) -> np.ndarray:
        """Times in s of the accents on the clip's clock."""
        return self.beats_s[self.accents]


def _poses_of(style: Style, count: int, rng) -> list[str]:
    """``count`` poses from the style's moves; no move begins with the pose that the last one ended with."""
    poses: list[str] = []
    while len(poses) < count:
        move = synthmoves.MOVES[style.moves[rng.integers(len(style.moves))]]
        if rng.random() < 0.5:
            move = tuple(name[:-1] if name.endswith("*") else name + "*" for name in move)
        if not poses or poses[-1].rstrip("*") != move[0].rstrip("*"):
            poses.extend(move)
    return poses[:count]


def _compose_keys(style: Style, first: int, second: int, rng):
    """Keys (2 first + second + 1, 32) and travel (.., 2). The third primitive is the first one mirrored."""
    table = []
    for name in _poses_of(style, first + second, rng):
        angles, turn, travel = synthmoves.pose(name, style)
        if rng.random() < style.symmetric:
            angles = (angles + synthmoves.mirror(angles)) / 2
        table.append((NEUTRAL + rng.uniform(0.85, 1.15) * (angles - NEUTRAL), turn, travel))
    table += [(synthmoves.mirror(a), -turn, travel * (-1, 1)) for a, turn, travel in table[:first]]
    keys = np.stack([NEUTRAL] + [row[0] for row in table])
    facing = np.concatenate([[0.0], np.cumsum([row[1] for row in table])])
    keys[:, INDEX["yaw"]] += facing
    across, forward = np.stack([row[2] for row in table]).T
    cos, sin = np.cos(facing[1:]), np.sin(facing[1:])
    return keys, np.stack([cos * across + sin * forward, cos * forward - sin * across], axis=-1)


def compose(name: str, style: Style, track: Track, first_beat: int, beats: int, rng, clip_s=CLIP_S) -> Choreography:
    """Draw a choreography to a window of a track.

    The choreography is drawn again if a stroke hardly moves the body, or if the first primitive is its own mirror image.
    """
    while True:
        first = style.accents[rng.integers(len(style.accents))]
        second = style.accents[rng.integers(len(style.accents))]
        if 7 <= 2 * len(first) + len(second) <= 12:
            break
    accents = np.array([8 * e + beat for e, part in enumerate((first, second, first)) for beat in part])
    lengths = np.array(IMPERIALDANCE21.lengths) * 0.5
    while True:
        keys, travel = _compose_keys(style, len(first), len(second), rng)
        joints = np.stack(synthmoves.forward_kinematics(keys.T, lengths)[0])  # (21, 3, K + 1)
        stroke = np.linalg.norm(np.diff(joints, axis=-1), axis=1).sum(axis=0)
        answer = np.abs(keys[1 : len(first) + 1] - keys[-len(first) :])[:, INDEX["yaw"] + 1 :].max(axis=1)
        if stroke.min() > 0.6 * np.median(stroke) and answer.mean() > 0.5:
            break
    window_s = beats * track.beat_s
    beats_s = synthmusic.window_beats(track, beats) * (clip_s / window_s)
    stretch = np.clip((stroke / np.median(stroke)) ** 0.5, 0.85, 1.4)  # a larger stroke takes longer
    return Choreography(name, style, track, first_beat, beats_s, accents, keys, travel, stretch, window_s, clip_s)


def choreography(name: str, seed: int = 0) -> Choreography:
    """One of the 20 choreographies, ``b0`` to ``u3``. Raises DataError for any other name."""
    if name not in CHOREOGRAPHIES:
        raise DataError(f"choreography {name!r}: not one of SynthDance's, expected {', '.join(CHOREOGRAPHIES)}")
    # Choreographies that share the track, in the order of their windows.
    sharing = sorted((n for n in CHOREOGRAPHIES if MUSIC[n].track == MUSIC[name].track), key=lambda n: MUSIC[n].start_s)
    rng = stream(seed, "track", sharing[0])
    track = synthmusic.compose(name[0], rng)
    fits = [n for n in range(25, 33) if 12.0 <= n * track.beat_s <= 20.0]
    if len(sharing) > 1:  # the windows are consecutive, and each starts on the first beat of a bar
        fits = [n for n in fits if n % 4 == 0]
    beats = int(rng.choice(fits))
    first_beat = 4 * int(rng.integers(8)) + beats * sharing.index(name)
    return compose(name, STYLES[name[0]], track, first_beat, beats, stream(seed, "choreography", name))


def render_music(dance: Choreography, seed: int = 0) -> np.ndarray:
    """The waveform (samples,) at 22,050 Hz of a choreography's window. It is the same for every dancer."""
    beats = len(dance.beats_s)
    rng = stream(seed, "drums", dance.track.genre, dance.track.tempo_bpm)
    return synthmusic.play(dance.track, dance.first_beat, beats, dance.accents, rng)


# ---- dancers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Dancer:
    """A person: level, body (21 bone lengths in m), and a personal style that is the same in all choreographies."""

    name: str
    level: str
    bones_m: np.ndarray
    posture: np.ndarray  # (32,) rad
    timing: float  # factor on the level's timing error
    range: float  # factor on the range of motion
    bias_s: float  # early (-) or late (+)
    side: float  # larger movements on the left (+) or right (-)
    habit: Habit


@dataclass(frozen=True, eq=False)
class Habit:
    """A dancer's strong style: what to add to or to multiply with the way in which the choreography is danced.

    ``posture`` (32,) rad, ``gain`` (32,) factors on the range and ``delay_s`` (32,) for each rotation; ``linger`` is added to
    the genre's, ``groove`` is a factor on its knee bend.
    """

    posture: np.ndarray
    gain: np.ndarray
    delay_s: np.ndarray
    linger: float
    groove: float


@dataclass(frozen=True)
class Dancers:
    """Who dances: the "seen" or the "unseen" dancers, and the strength of their personal style (0: the default cast)."""

    group: str = "seen"
    style: float = 0.0

    @classmethod
    def of(cls, dancers: Dancers | str) -> Dancers:
        """Return the dancers; a name is a group of the default cast."""
        return cls(dancers) if isinstance(dancers, str) else dancers


def habit(name: str, style: float, seed: int = 0) -> Habit:
    """Draw the habits of a dancer by name; ``style`` 0 has none, and at ``style`` 1 they have the sizes ``STYLE``.

    The draw does not know the level. The mean logarithm of the ranges over limbs and trunk is 0, so that the range of the
    whole body stays that of the level.
    """
    rng = stream(seed, "style", name)
    posture = np.radians(style * STYLE["posture_deg"]) * _POSE_ERROR * rng.uniform(-1, 1, len(ROTATIONS))
    posture[INDEX["yaw"]] = 0
    parts = [[INDEX[side + r] for r in limb] for side in "LR" for limb in LIMBS.values()]
    wide = rng.uniform(-1, 1, len(parts) + 1)  # the last one is the trunk's
    wide = style * STYLE["range"] * (wide - wide.mean())
    late = style * STYLE["delay_s"] * rng.uniform(-1, 1, len(parts))
    gain, delay = np.full(len(ROTATIONS), np.exp(wide[-1])), np.zeros(len(ROTATIONS))
    for rows, size, lag in zip(parts, wide, late, strict=False):
        gain[rows], delay[rows] = np.exp(size), lag
    linger, groove = style * rng.uniform(-1, 1, 2) * (STYLE["linger"], STYLE["groove"])
    return Habit(posture, gain, delay, float(linger), float(np.exp(groove)))


def dancer(level: str, number: int | str = 1, seed: int = 0, dancers: Dancers | str = "seen") -> Dancer:
    """Draw the persistent properties of a dancer; levels as in ``sequences.LEVELS``."""
    dancers = Dancers.of(dancers)
    name = f"{dancers.group}-{level}-{number}"
    rng = stream(seed, "dancer", name)
    bones = np.array(IMPERIALDANCE21.lengths) * rng.uniform(0.47, 0.56)
    # Proportions differ by limb and are the same on both sides.
    part = {p: np.exp(PERSONAL["bone"] * rng.standard_normal()) for p in ("Arm", "Leg", "Trunk")}
    for i, joint in enumerate(IMPERIALDANCE21.joints):
        limb = "Arm" if joint[1:] in ("FArm", "Hand") else "Leg" if joint[1:] in ("Shin", "Foot") else "Trunk"
        bones[i] *= part[limb]
    posture = np.radians(PERSONAL["posture_deg"] * rng.standard_normal(len(POSTURE))) @ _POSTURE
    return Dancer(
        name, level, bones, posture,
        timing=float(np.exp(PERSONAL["timing"] * rng.uniform(-1, 1))),
        range=float(np.exp(PERSONAL["range"] * rng.standard_normal())),
        bias_s=float(PERSONAL["bias_s"] * rng.uniform(-1, 1)),
        side=float(PERSONAL["side"] * rng.standard_normal()),
        habit=habit(name, dancers.style, seed),
    )  # fmt: skip


def cast(name: str, level: str, seed: int = 0, dancers: Dancers | str = "seen") -> Dancer:
    """The dancer of a choreography at a level: the one expert, or one of two dancers, drawn per choreography.

    Of unseen dancers with a strong style, everyone dances one choreography only. So a result on them is the mean over 15
    styles, and not the luck of five.
    """
    dancers = Dancers.of(dancers)
    if dancers.group == "unseen" and dancers.style:
        return dancer(level, name, seed, dancers)
    number = 1 if level == "expert" else 1 + int(stream(seed, "cast", dancers.group, name, level).integers(2))
    return dancer(level, number, seed, dancers)


# ---- performance -------------------------------------------------------------------------------------------


def _minimum_jerk(x):
    """Minimum-jerk curve from 0 to 1 over -1/2..1/2, with the maximum speed at 0."""
    x = np.clip(x + np.float32(0.5), 0, 1)
    return x * x * x * (10 + x * (6 * x - 15))


def _smooth_noise(rng, trials, channels, frames, knot):
    """Noise (channels, trials, frames) with unit variance at its knots: a cubic B-spline with ``knot`` frames between knots."""
    spans = -(-frames // knot)
    control = rng.standard_normal((trials, channels, spans + 3), dtype=np.float32).transpose(1, 0, 2)
    u = (np.arange(knot, dtype=np.float32) / knot)[None, None, None]
    basis = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    wave = sum(control[:, :, i : i + spans, None] * (b / 6) for i, b in enumerate(basis))
    return wave.reshape(channels, trials, spans * knot)[:, :, :frames] * np.float32(np.sqrt(2))


def _latents(dance: Choreography, who: Dancer, trials: int, seed: int, timing_sd: float | None) -> dict:
    """The latent variables of each trial of a performance: arrays whose first axis is the trial."""
    level, count = LEVEL[who.level], len(dance.accents)

    def rng(what):
        return stream(seed, "performance", who.name, dance.name, what)

    def spread(what, width, *shape):
        return np.exp(width * rng(what).standard_normal((trials, *shape)) - width**2 / 2)

    mean = PRACTICE_TRIALS / 100 * (1 - np.exp(-100 / PRACTICE_TRIALS))
    fall = 1 + level.practice * (np.exp(-np.arange(trials) / PRACTICE_TRIALS) - mean)
    sd = level.timing_sd_s * who.timing * fall * spread("timing", SPREAD["timing"])
    bias = np.full(trials, who.bias_s)
    if timing_sd is not None:
        sd, bias = np.full(trials, float(timing_sd)), np.zeros(trials)
    error = bias[:, None] + sd[:, None] * np.clip(rng("errors").standard_normal((trials, count)), -2.5, 2.5)
    missed = rng("missed").random((trials, count)) < (level.missed * fall)[:, None]
    extra = rng("extra").random((trials, 2)) < (level.extra * fall)[:, None]
    return {
        "timing_sd_s": sd,
        "timing_bias_s": bias,
        "error_s": error,
        "missed": missed,
        "extra": extra,
        "amplitude": level.amplitude * who.range * spread("amplitude", SPREAD["amplitude"]),
        "part": spread("part", SPREAD["part"], 3),
        "pose_error_deg": level.pose_error_deg * np.sqrt(fall) * spread("pose error", SPREAD["pose_error"]),
        "unsteadiness_deg": level.unsteadiness_deg * np.sqrt(fall) * spread("unsteadiness", SPREAD["unsteadiness"]),
        "slowness": level.slowness * spread("slowness", SPREAD["slowness"]),
        "posture": np.radians(SPREAD["posture_deg"] * rng("posture").standard_normal((trials, len(POSTURE)))) @ _POSTURE,
        "facing": np.radians(SPREAD["facing_deg"] * rng("facing").standard_normal(trials)),
        "start_m": SPREAD["start_m"] * rng("start").standard_normal((trials, 2)),
    }  # fmt: skip


def _strokes(dance: Choreography, who: Dancer, latent: dict, trials: int, rng):
    """Opening pose (trials, 32); of each stroke: pose step (trials, S, 32), travel (trials, S, 2), centre and width (trials, S).

    Centre and width (duration) are in s. The first K strokes are the accents. Then come two extra strokes, which are
    usually empty, and the close of the dance.
    """
    count = len(dance.accents)
    gain = np.repeat(latent["amplitude"][:, None], len(ROTATIONS), axis=1)
    for part, rows in enumerate((synthmoves.ARMS, synthmoves.LEGS, synthmoves.TORSO)):
        gain[:, rows] *= latent["part"][:, part : part + 1]
    for name, i in INDEX.items():
        if name[0] in "LR":
            gain[:, i] *= 1 + who.side * (1 if name[0] == "L" else -1)
    gain *= who.habit.gain
    gain[:, INDEX["yaw"]] = 1.0
    keys = NEUTRAL + gain[:, None] * (dance.keys - NEUTRAL)
    error = _POSE_ERROR * rng("poses").standard_normal((trials, *dance.keys.shape))
    keys += np.radians(latent["pose_error_deg"])[:, None, None] * error
    opening = keys[:, 0] + who.posture + latent["posture"] + who.habit.posture
    opening[:, INDEX["yaw"]] += latent["facing"]
    steps = np.zeros((trials, count + 3, len(ROTATIONS)))
    steps[:, :count] = np.diff(keys, axis=1)
    # A missed accent: the body drifts into the pose, about one beat late and without a stroke.
    beat = dance.beats_s[1] - dance.beats_s[0]
    centres = np.zeros((trials, count + 3))
    centres[:, :count] = dance.accents_s + np.where(latent["missed"], beat, latent["error_s"])
    widths = np.full((trials, count + 3), dance.style.stroke_s) * latent["slowness"][:, None]
    widths[:, :count] *= dance.stretch * np.where(latent["missed"], 3.0, 1.0)
    # An extra accent: half-way between two real accents, towards another pose. The next stroke corrects it.
    gaps = np.argsort(rng("gaps").random((trials, count - 1)), axis=1)[:, :2]
    towards = rng("towards").integers(count, size=(trials, 2))
    trial = np.arange(trials)
    for slot in range(2):
        gap = gaps[:, slot]
        step = 0.6 * (keys[trial, (gap + 2 + towards[:, slot]) % (count + 1)] - keys[trial, gap + 1])
        step[:, INDEX["yaw"]] = 0
        step *= latent["extra"][:, slot, None]
        steps[:, count + slot] = step
        steps[trial, gap + 1] -= step
        centres[:, count + slot] = (dance.accents_s[gap] + dance.accents_s[gap + 1]) / 2
    # After the third primitive, the body returns slowly.
    steps[:, -1] = (NEUTRAL - keys[:, -1]) * (0.8 if len(dance.beats_s) > 26 else 0.0)
    steps[:, -1, INDEX["yaw"]] = 0
    centres[:, -1] = dance.beats_s[24] + 0.55 * (dance.clip_s - dance.beats_s[24])
    widths[:, -1] = 2.2 * dance.style.stroke_s + 0.8 * (dance.clip_s - dance.beats_s[24])
    travel = np.zeros((trials, count + 3, 2))
    cos, sin = np.cos(latent["facing"])[:, None], np.sin(latent["facing"])[:, None]
    across, forward = dance.travel_m[:, 0], dance.travel_m[:, 1]
    travel[:, :count, 0] = (cos * across + sin * forward) * gain[:, INDEX["Lhip"], None]
    travel[:, :count, 1] = (cos * forward - sin * across) * gain[:, INDEX["Lhip"], None]
    return opening, steps, travel, centres, widths


def _soft_floor(x, ridge):
    """A soft maximum of x and 0: knees and elbows do not bend the wrong way."""
    return (x + np.sqrt(x * x + np.float32(ridge * ridge))) / 2


@dataclass(frozen=True, eq=False)
class Performance:
    """Danced trials: motion (trials, 3, frames, 21) float32 in m, y up; the truth, one row per trial; head axes."""

    motion: np.ndarray
    fps: float
    truth: pd.DataFrame
    head: tuple[np.ndarray, ...] = ()


def perform(
    dance: Choreography | str,
    who: Dancer | str = "expert",
    trials: int = 100,
    seed: int = 0,
    timing_sd: float | None = None,
    marker_noise_m: float = MARKER_NOISE_M,
    fps: float = FPS,
) -> Performance:
    """Simulate ``trials`` repetitions of a choreography by one dancer: motion and truth.

    ``dance`` may be a name, and ``who`` a level (its dancer is then ``cast``). ``timing_sd`` in s replaces the dancer's
    standard deviation of the timing error, and the dancer's bias becomes 0.
    """
    dance = choreography(dance, seed) if isinstance(dance, str) else dance
    who = cast(dance.name, who, seed) if isinstance(who, str) else who
    latent = _latents(dance, who, trials, seed, timing_sd)

    def rng(what):
        return stream(seed, "performance", who.name, dance.name, what)

    opening, steps, travel, centres, widths = _strokes(dance, who, latent, trials, rng)
    frames = round(dance.clip_s * fps)
    time = (np.arange(frames, dtype=np.float32) / np.float32(fps))[None, None]
    style = dance.style
    angles = np.empty((len(ROTATIONS), trials, frames), dtype=np.float32)
    steps32, linger = steps.astype(np.float32), np.float32(np.clip(style.linger + who.habit.linger, 0, 0.7))
    late = np.zeros(len(ROTATIONS), dtype=bool)
    late[synthmoves.ARMS] = True
    for arms, delay in np.unique([late, who.habit.delay_s], axis=1).T:
        group, lag = (late == arms) & (who.habit.delay_s == delay), delay + (style.lag_s if arms else -style.lag_s)
        x = (time - (centres + lag)[:, :, None].astype(np.float32)) / widths[:, :, None].astype(np.float32)
        curve = (1 - linger) * _minimum_jerk(x) + linger * _minimum_jerk(x / 3)
        angles[group] = np.einsum("tsd,tsf->dtf", steps32[:, :, group], curve)
        if not group[INDEX["yaw"]]:
            continue
        going = np.einsum("tsd,tsf->dtf", travel.astype(np.float32), curve)
    angles += opening.T[:, :, None].astype(np.float32)
    _add_unsteadiness(angles, latent["unsteadiness_deg"], fps, rng)
    beat = float(dance.beats_s[1] - dance.beats_s[0])
    phase = (time[0] - np.float32(dance.beats_s[0]) - latent["error_s"][:, :1].astype(np.float32)) / np.float32(
        style.groove_beats * beat
    )
    bend = np.float32(np.radians(style.groove * who.habit.groove)) * (1 - np.cos(np.float32(2 * np.pi) * phase))
    for side in "LR":
        angles[INDEX[side + "hip"]] += bend
        angles[INDEX[side + "knee"]] += 2 * bend
        for hinge in ("knee", "elbow"):
            angles[INDEX[side + hinge]] = _soft_floor(angles[INDEX[side + hinge]], 0.05)
    joints, head = synthmoves.forward_kinematics(angles, who.bones_m)
    path = synthmoves.stand_on_floor(joints)
    path[0] += going[0] + latent["start_m"][:, :1].astype(np.float32)
    path[2] += going[1] + latent["start_m"][:, 1:].astype(np.float32)
    motion = np.empty((trials, 3, frames, len(joints)), dtype=np.float32)
    for j, joint in enumerate(joints):
        motion[..., j] = (joint + path).transpose(1, 0, 2)
    if marker_noise_m:
        _add_marker_noise(motion, marker_noise_m, rng)
    return Performance(motion, fps, _truth(dance, who, latent, trials, rng), head)


def _add_unsteadiness(angles: np.ndarray, size_deg: np.ndarray, fps: float, rng) -> None:
    """Add a fast wobble and a slow drift to every rotation (D, trials, frames); ``size_deg`` (trials,) is their size."""
    wobble = np.radians(size_deg).astype(np.float32)[None, :, None]
    for what, knot_s, share in (("wobble", 0.24, 0.5), ("drift", 0.8, 1.0)):
        noise = _smooth_noise(rng(what), angles.shape[1], len(ROTATIONS), angles.shape[2], round(knot_s * fps))
        angles += noise * (wobble * np.float32(share))


def _add_marker_noise(motion: np.ndarray, size_m: float, rng) -> None:
    """Add marker noise to the motion of all trials. Its size varies from trial to trial, as with a new calibration.

    A fixed noise would reveal the size of the body through the accelerations.
    """
    noise = rng("markers").standard_normal(motion.shape, dtype=np.float32)
    level = size_m * np.exp(SPREAD["markers"] * rng("calibration").standard_normal(len(motion)))
    motion += noise * level[:, None, None, None].astype(np.float32)


RATERS = 3


def rater_sd(quality):
    """Standard deviation of one rater in points: raters agree on very good and very bad performances."""
    return 1.5 + 9.0 * 4 * quality * (1 - quality)


def _truth(dance, who, latent, trials, rng) -> pd.DataFrame:
    """The truth, one row per trial: dancer, quality, errors, the score and the variance of its noise."""
    danced = ~latent["missed"]
    error = np.where(danced, latent["error_s"], np.nan)
    rms = np.sqrt(np.nanmean(np.where(danced.any(axis=1, keepdims=True), error, 0.3) ** 2, axis=1))
    # Quality depends only on what is visible in this performance, not on the dancer.
    quality = 1 - (
        0.45 * np.minimum(rms / 0.30, 1)
        + 0.20 * np.minimum(latent["missed"].mean(axis=1) / 0.4, 1)
        + 0.05 * latent["extra"].mean(axis=1)
        + 0.10 * np.minimum(latent["pose_error_deg"] / 12, 1)
        + 0.10 * np.minimum(latent["unsteadiness_deg"] / 4, 1)
        + 0.10 * np.minimum(np.abs(latent["amplitude"] - 1) / 0.3, 1)
    )
    expected = 100 * np.clip(1.3 * quality - 0.22, 0.04, 0.96)
    sd = rater_sd(expected / 100)
    ratings = expected[:, None] + sd[:, None] * rng("raters").standard_normal((trials, RATERS))
    return pd.DataFrame(
        {
            "genre": dance.name[0],
            "choreography": dance.name,
            "level": who.level,
            "trial": np.arange(trials),
            "dancer": who.name,
            "quality": quality,
            "timing_sd_s": latent["timing_sd_s"],
            "timing_bias_s": latent["timing_bias_s"],
            "timing_rms_s": rms,
            "missed_accents": latent["missed"].sum(axis=1),
            "extra_accents": latent["extra"].sum(axis=1),
            "amplitude": latent["amplitude"],
            "pose_error_deg": latent["pose_error_deg"],
            "unsteadiness_deg": latent["unsteadiness_deg"],
            "slowness": latent["slowness"],
            "expected_score": expected,
            "score_noise_variance": sd**2 / RATERS,
            "score": np.round(np.clip(ratings.mean(axis=1), 0, 100), 2),
            "window_s": dance.window_s,
            "tempo_bpm": dance.track.tempo_bpm,
            "beat_times_s": [dance.beats_s] * trials,
            "accent_times_s": [dance.accents_s] * trials,
            "timing_errors_s": list(error),
        }
    )


# ---- writing -----------------------------------------------------------------------------------------------


def _check_writable(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not an empty folder; expected a new or empty folder")


def _into_place(out: Path, fill: Callable[[Path], None]) -> None:
    """Fill a hidden sibling folder and rename it, so that ``out`` is either complete or absent."""
    _check_writable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # remains of an interrupted run
    try:
        part.mkdir()
        fill(part)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def file_name(name: str, level: str) -> str:
    """ImperialDance's file name of a choreography at a level, such as ``dance_level_e_b_ch0.npy``."""
    return f"dance_level_{level[0]}_{name[0]}_ch{name[1:]}.npy"


def _write_file(root: Path, seed: int, dancers: Dancers, trials: int, task: tuple[str, str]) -> pd.DataFrame:
    name, level = task
    danced = perform(choreography(name, seed), cast(name, level, seed, dancers), trials, seed)
    np.save(root / file_name(name, level), danced.motion)
    return danced.truth


def write(
    out: str | Path,
    trials: int = 100,
    seed: int = 0,
    dancers: Dancers | str = "seen",
    choreographies: list[str] | None = None,
    jobs: int = 2,
    progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Write SynthDance as ImperialDance's tree: motion, music, scores, music intensity, dataset.json and truth.parquet.

    ``choreographies`` defaults to all 20, or to the five test ones for unseen dancers (other people of the same levels) and
    for dancers with a strong style. ``progress(done, total, file)`` is called after every file. The bytes depend on the seed
    and not on ``jobs``. Raises DataError if ``out`` is not empty or a parameter is out of range.
    """
    out, dancers = Path(out), Dancers.of(dancers)
    if dancers.group not in ("seen", "unseen") or not 0 <= dancers.style <= 1:
        raise DataError(f"{dancers}: expected the group 'seen' or 'unseen', and a style from 0 to 1")
    if trials < 1 or seed < 0:
        raise DataError(f"trials {trials}, seed {seed}: expected at least one trial and a seed from 0")
    names = list(choreographies or (CHOREOGRAPHIES if dancers == Dancers() else TEST_CHOREOGRAPHIES))
    dances = {name: choreography(name, seed) for name in names}
    tasks = [(name, level) for name in dances for level in reversed(LEVELS)]

    def fill(root: Path) -> None:
        (root / "music").mkdir()
        truth = []
        # Threads, not processes: numpy releases the interpreter lock, and a notebook can call this function.
        with ThreadPoolExecutor(jobs) as pool:
            for task, rows in zip(tasks, pool.map(partial(_write_file, root, seed, dancers, trials), tasks), strict=True):
                truth.append(rows)
                if progress:
                    progress(len(truth), len(tasks), file_name(*task))
        for name, dance in dances.items():
            path = root / "music" / f"{name[0]}_ch{name[1:]}.flac"
            soundfile.write(os.fsencode(path), render_music(dance, seed), SAMPLE_RATE, subtype="PCM_16")
        table = pd.concat(truth, ignore_index=True)
        with open(root / "truth.parquet", "wb") as file:  # pyarrow cannot open a file whose name is not UTF-8
            table.to_parquet(file, index=False)
        label = pd.DataFrame({"genre": table["genre"], "choreography": table["choreography"].str[1:],
                              "level": table["level"].str[0], "trial": table["trial"], "score": table["score"]})  # fmt: skip
        label.to_csv(root / "scores.csv", index=False, lineterminator="\n")
        accents = [(n[0], n[1:], round(float(t), 4)) for n, dance in dances.items() for t in dance.accents_s]
        accents = pd.DataFrame(accents, columns=["genre", "choreography", "time_s"])
        accents.to_csv(root / "music_intensity.csv", index=False, lineterminator="\n")
        facts = {
            "name": "synthdance", "synthetic": True, "generator_version": GENERATOR_VERSION, "seed": seed,
            "dancers": dancers.group, "trials": trials, "choreographies": names, "fps": FPS, "unit": "m", "up": "y",
        }  # fmt: skip
        if dancers.style:
            facts |= {"generator_version": STYLED_VERSION, "style": dancers.style}
        (root / "dataset.json").write_text(json.dumps(facts, indent=2) + "\n")

    _into_place(out, fill)


# ---- the second body, in AIST++'s format -------------------------------------------------------------------

_FACE = {"nose": (0, -0.1, 0.5), "left_eye": (0.15, 0.05, 0.42), "left_ear": (0.35, 0, 0.05),
         "right_eye": (-0.15, 0.05, 0.42), "right_ear": (-0.35, 0, 0.05)}  # fmt: skip
_LIMBS = {"shoulder": "UArm", "elbow": "FArm", "wrist": "Hand", "hip": "Thigh", "knee": "Shin", "ankle": "Foot"}


def _coco17(danced: Performance, size_m: float) -> np.ndarray:
    """Keypoints (trials, frames, 17, 3) in cm of a performance: the limbs are copied, and a face is added to the head."""
    at = {name: danced.motion[..., i] for i, name in enumerate(IMPERIALDANCE21.joints)}
    points = []
    for name in COCO17.joints:
        if name in _FACE:
            axes = [a.transpose(1, 0, 2) for a in danced.head]
            points.append(at["Head"] + sum(np.float32(0.3 * size_m * f) * a for f, a in zip(_FACE[name], axes, strict=True)))
        else:
            side, part = name.split("_")
            points.append(at[side[0].upper() + _LIMBS[part]])
    return 100.0 * np.stack(points, axis=-1).transpose(0, 2, 3, 1).astype(np.float64)


def write_aistpp(out: str | Path, seed: int = 0, dancers: int = 6, routines: int = 6) -> None:
    """Write a second synthetic body in AIST++'s format: three genres that SynthDance does not have, 17 joints, cm, 60 fps.

    The files are ``keypoints3d/gBR_sBM_cAll_d04_mBR2_ch03.pkl`` and so on, each with ``keypoints3d`` and
    ``keypoints3d_optim`` (frames, 17, 3). Every dancer dances every routine once, 8 to 10 s. ``dataset.json`` states that
    the data are synthetic.
    """

    def fill(root: Path) -> None:
        (root / "keypoints3d").mkdir()
        for genre, style in synthmoves.AIST_STYLES.items():
            for routine in range(routines):
                name = f"g{genre}/{routine}"
                rng = stream(seed, "aistpp", name)
                track = Track("k", float(rng.uniform(90, 125)), 40, synthmusic.SOUNDS["k"].chords[0])
                dance = compose(name, style, track, 0, 26, rng, clip_s=round(float(rng.uniform(8, 10)), 1))
                for number in range(1, dancers + 1):
                    who = dancer("expert" if number % 2 else "intermediate", number, seed, "aistpp")
                    danced = perform(dance, who, 1, seed, fps=60.0)
                    smooth = _coco17(danced, float(who.bones_m.max()) / 0.84)[0]
                    raw = smooth + stream(seed, "aistpp", "raw", name, number).normal(0, 0.5, smooth.shape)
                    file = f"g{genre}_sBM_cAll_d{number:02d}_m{genre}{routine % 6}_ch{routine + 1:02d}.pkl"
                    with open(root / "keypoints3d" / file, "wb") as sink:
                        pickle.dump({"keypoints3d": raw, "keypoints3d_optim": smooth}, sink, protocol=4)
        facts = {"name": "synthdance-aistpp", "synthetic": True, "generator_version": GENERATOR_VERSION, "seed": seed,
                 "format": "AIST++", "fps": 60.0, "unit": "cm"}  # fmt: skip
        (root / "dataset.json").write_text(json.dumps(facts, indent=2) + "\n")

    _into_place(Path(out), fill)
