"""The movements of SynthDance: poses, moves, genre styles, and the jointed body.

A pose is a set of joint rotations. A move is a short series of poses. A style is a vocabulary of moves and the way they are
danced. Poses are written for one side; ``*`` after a pose's name means its mirror image. Body frame: x to the dancer's
left, y up, z forward. Units are metres and radians; only the tables use degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton

TRUNK = "yaw pitch roll bend twist side chest_bend chest_twist chest_side nod look tilt".split()
SIDE = "shrug raise swing turn elbow hip out turnout knee point".split()
ROTATIONS = tuple(TRUNK + ["L" + r for r in SIDE] + ["R" + r for r in SIDE])
INDEX = {name: i for i, name in enumerate(ROTATIONS)}
ARMS = [INDEX[s + r] for s in "LR" for r in ("shrug", "raise", "swing", "turn", "elbow")] + [9, 10, 11]
LEGS = [INDEX[s + r] for s in "LR" for r in ("hip", "out", "turnout", "knee", "point")]
TORSO = [INDEX[r] for r in TRUNK if r not in ("yaw", "nod", "look", "tilt")]

# Mirroring exchanges the sides and reverses every rotation about y and z. The rotations of the right side are written like
# those of the left side, so only the trunk's rotations change sign.
_MIRROR = np.array([INDEX[{"L": "R", "R": "L"}.get(n[0], n[0]) + n[1:]] for n in ROTATIONS])
_SIGN = np.array([-1.0 if n in "yaw roll twist side chest_twist chest_side look tilt".split() else 1.0
                  for n in ROTATIONS])  # fmt: skip

NEUTRAL_ARM = (12, 70, 0, 18)  # raise, swing (0 forward, 90 sideways), turn, elbow
NEUTRAL_LEG = (8, 4, 12, 14, 0)  # hip, out, turnout, knee, point


@dataclass(frozen=True)
class _Pose:
    """``arms`` and ``legs`` are for both sides, L R LL RL for one arm or leg, all in degrees.

    ``turn`` (degrees to the left) and ``travel`` (metres to the left and forward) change the dancer's facing and place on
    the way into the pose.
    """

    arms: tuple | None = None
    L: tuple | None = None
    R: tuple | None = None
    legs: tuple | None = None
    LL: tuple | None = None
    RL: tuple | None = None
    spine: tuple = (0, 0, 0)
    chest: tuple = (0, 0, 0)
    head: tuple = (0, 0, 0)
    shrug: float = 0
    pelvis: tuple = (0, 0)
    turn: float = 0
    travel: tuple = (0, 0)


def _pose(**given) -> tuple[np.ndarray, float, np.ndarray]:
    """One row of POSES, (angles in rad, turn in rad, travel in m), from the fields of a ``_Pose``."""
    p, angles = _Pose(**given), np.zeros(len(ROTATIONS))
    angles[1:3] = p.pelvis
    angles[3:6], angles[6:9], angles[9:12] = p.spine, p.chest, p.head
    for offset, arm, leg in ((12, p.L, p.LL), (22, p.R, p.RL)):
        angles[offset] = p.shrug
        angles[offset + 1 : offset + 5] = arm or p.arms or NEUTRAL_ARM
        angles[offset + 5 : offset + 10] = leg or p.legs or NEUTRAL_LEG
    return np.radians(angles), np.radians(p.turn), np.array(p.travel, dtype=float)


NEUTRAL = _pose()[0]
_PLIE = (40, 12, 35, 80, 0)
_BENT = (45, 8, 12, 85, 0)
POSES = {
    "stand": _pose(),
    "plie": _pose(arms=(45, 45, 0, 40), legs=_PLIE, head=(8, 0, 0)),
    "fifth": _pose(arms=(160, 55, 0, 35), legs=(2, 4, 35, 4, 28), spine=(-6, 0, 0), head=(-12, 0, 0)),
    "second": _pose(arms=(85, 85, 0, 15), legs=(4, 10, 40, 8, 0), head=(0, 20, 0), travel=(0.15, 0)),
    "arabesque": _pose(L=(100, 15, 0, 10), R=(80, 95, 0, 12), LL=(4, 2, 30, 6, 15), RL=(-55, 6, 30, 8, 45),
                       spine=(14, 0, 0), chest=(-14, 0, 0), pelvis=(14, 0), travel=(0, 0.2)),
    "tendu": _pose(L=(90, 80, 0, 15), R=(140, 40, 0, 35), LL=(10, 32, 40, 4, 45), RL=(6, 2, 30, 10, 0),
                   spine=(0, 0, -10), head=(0, 25, 0)),
    "passe": _pose(arms=(60, 20, 0, 60), LL=(75, 20, 50, 110, 45), RL=(3, 2, 25, 5, 28), turn=90),
    "cambre": _pose(L=(165, 60, 0, 25), R=(30, 60, 0, 30), spine=(0, 0, -24), chest=(-6, 0, -16),
                    head=(0, -25, -10), LL=(8, 18, 35, 8, 20)),
    "reach_side": _pose(L=(95, 88, 0, 5), R=(35, 60, 0, 70), LL=(22, 26, 15, 40, 0), RL=(4, 10, 10, 6, 0),
                        spine=(0, 12, 10), head=(0, 35, 0), travel=(0.25, 0)),
    "reach_up": _pose(L=(168, 70, 0, 8), R=(20, 40, 0, 50), spine=(0, -10, -8), head=(-25, 15, 0)),
    "punch": _pose(L=(88, 5, 0, 5), R=(40, 30, 0, 115), spine=(8, -22, 0), chest=(0, -14, 0),
                   LL=(35, 10, 10, 45, 0), RL=(-12, 8, 15, 14, 0), travel=(0, 0.2)),
    "cross": _pose(arms=(65, -25, 0, 85), spine=(14, 0, 0), head=(15, 0, 0), legs=(26, 4, 8, 46, 0)),
    "open": _pose(arms=(110, 95, 0, 35), chest=(-18, 0, 0), head=(-10, 0, 0), legs=(10, 16, 18, 16, 0)),
    "knee_lift": _pose(L=(40, 60, 0, 95), R=(75, 20, 0, 80), LL=(85, 8, 10, 95, 20), spine=(12, 14, 0)),
    "kick": _pose(L=(35, 100, 0, 20), R=(100, 30, 0, 15), LL=(78, 6, 12, 12, 40), spine=(-8, 10, 0)),
    "lunge": _pose(L=(75, 30, 0, 30), R=(60, 110, 0, 20), LL=(58, 6, 14, 78, 0), RL=(-28, 4, 18, 8, 20),
                   spine=(16, 0, 0), travel=(0, 0.25)),
    "crouch": _pose(arms=(50, 30, 0, 90), legs=(80, 14, 25, 120, 0), spine=(30, 0, 0), head=(-15, 0, 0)),
    "pop": _pose(arms=(48, 80, 0, 100), chest=(-24, 0, 0), spine=(8, 0, 0), head=(-12, 0, 0), legs=_BENT,
                 shrug=14),
    "contract": _pose(arms=(70, 20, 0, 60), chest=(30, 0, 0), spine=(20, 0, 0), head=(25, 0, 0), legs=_BENT,
                      shrug=10),
    "hip_out": _pose(L=(55, 75, 0, 110), R=(20, 80, 0, 25), pelvis=(0, 14), spine=(0, 0, -22),
                     LL=(6, -4, 12, 8, 0), RL=(26, 14, 20, 44, 0), head=(0, 15, 10)),
    "wave_arm": _pose(L=(92, 85, 0, 40), R=(92, 85, 0, 4), chest=(0, 0, 14), head=(0, 30, 0), shrug=8),
    "rock_back": _pose(arms=(40, 45, 0, 70), LL=(-14, 6, 12, 34, 0), RL=(44, 8, 12, 30, 0), spine=(-12, 0, 0),
                       travel=(0, -0.2)),
    "slide": _pose(L=(40, 90, 0, 15), R=(80, 90, 0, 20), LL=(36, 10, 14, 70, 0), RL=(4, 34, 10, 6, 0),
                   spine=(6, 0, 8), travel=(0.35, 0)),
    "quarter": _pose(L=(60, 60, 0, 70), R=(45, 20, 0, 60), spine=(0, 25, 0), legs=(22, 12, 14, 38, 0), turn=90),
    "half": _pose(L=(85, 30, 0, 60), R=(70, 80, 0, 40), legs=(14, 6, 20, 20, 20), turn=180),
    "head_down": _pose(arms=(25, 75, 0, 30), spine=(34, 0, 0), head=(30, 0, 0), legs=(38, 12, 15, 60, 0)),
    "frame": _pose(L=(120, 70, 0, 95), R=(70, 40, 0, 95), head=(0, -20, 0), spine=(0, 10, 4),
                   legs=(16, 14, 15, 28, 0)),
    "behind": _pose(L=(30, 130, 0, 70), R=(110, 40, 0, 60), spine=(-4, 18, 0), LL=(-20, 8, 16, 40, 15)),
}  # fmt: skip

# A move is two or three poses. Most moves belong to several genres, as real steps do.
MOVES = {
    "port de bras": ("second", "fifth"), "plie releve": ("plie", "fifth"), "arabesque": ("plie", "arabesque"),
    "tendu": ("tendu", "second"), "pirouette": ("plie", "passe"), "cambre": ("second", "cambre"),
    "chasse": ("slide", "arabesque"), "step touch": ("reach_side", "cross"), "point": ("reach_up", "hip_out"),
    "point cross": ("reach_up", "reach_side*"), "punch": ("punch", "cross"), "double punch": ("punch", "punch*"),
    "open close": ("cross", "open"), "kick ball": ("kick", "lunge"), "knee drive": ("knee_lift", "lunge*"),
    "battement": ("plie", "kick"), "jazz square": ("slide", "rock_back", "open"), "turn out": ("quarter", "open"),
    "pivot": ("lunge", "half"), "drop": ("crouch", "open"), "hit": ("pop", "contract"),
    "rock": ("rock_back", "punch"), "bounce": ("head_down", "pop"), "arm wave": ("wave_arm", "wave_arm*"),
    "hips": ("hip_out", "hip_out*"), "frame": ("frame", "frame*"), "tut": ("frame", "behind"),
    "slide": ("slide", "crouch"), "drag": ("lunge", "contract"), "swing": ("behind", "reach_side"),
    "stomp": ("knee_lift", "pop"), "whip": ("head_down", "reach_up"),
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a genre dances: its moves, gains on arms, legs and torso, and the length of an accented stroke.

    ``stroke_s`` is the duration of a stroke on the clip's clock, ``linger`` the share of it with a slow approach and
    release, ``lag_s`` the delay of the arms after the body, ``groove`` the knee bend in degrees once per ``groove_beats``,
    ``symmetric`` how often a pose is made the same on both sides, ``travel`` a gain on steps, ``accents`` the patterns of
    accented beats (0..7) in a primitive.
    """

    moves: tuple[str, ...]
    arms: float
    legs: float
    torso: float
    stroke_s: float
    linger: float
    lag_s: float
    groove: float
    groove_beats: int
    symmetric: float
    travel: float
    accents: tuple[tuple[int, ...], ...]


STYLES = {
    "b": Style(("port de bras", "plie releve", "arabesque", "tendu", "pirouette", "cambre", "chasse", "battement"),
               1.0, 0.95, 0.8, 0.56, 0.40, 0.030, 1.2, 4, 0.15, 0.9,
               ((1, 4), (2, 5), (1, 4, 7), (2, 4, 7), (1, 3, 6))),
    "k": Style(("step touch", "point", "point cross", "open close", "frame", "hips", "knee drive", "arm wave",
                "turn out"),
               1.0, 0.75, 0.9, 0.42, 0.28, 0.010, 3.0, 2, 0.20, 0.8,
               ((1, 3, 5, 7), (1, 3, 6), (2, 4, 6), (1, 4, 6), (1, 5, 7))),
    "j": Style(("kick ball", "jazz square", "turn out", "battement", "pivot", "swing", "step touch", "cambre",
                "point cross"),
               1.0, 1.0, 0.9, 0.46, 0.32, 0.020, 2.0, 2, 0.10, 1.0,
               ((1, 3, 5), (1, 3, 6), (2, 5, 7), (1, 4, 7), (1, 3, 5, 7))),
    "h": Style(("rock", "bounce", "hit", "double punch", "stomp", "drop", "slide", "knee drive", "tut"),
               0.9, 0.95, 1.1, 0.38, 0.22, 0.005, 4.0, 2, 0.25, 0.8,
               ((1, 3, 5, 7), (1, 3, 6), (2, 4, 6), (1, 4, 6))),
    "u": Style(("hit", "drag", "arm wave", "hips", "tut", "whip", "drop", "slide", "swing", "frame"),
               0.95, 0.85, 1.1, 0.44, 0.30, 0.015, 3.0, 2, 0.20, 0.8,
               ((1, 4, 6), (1, 3, 6), (2, 4, 7), (1, 4, 7), (1, 3, 5, 7))),
}  # fmt: skip

# Three further styles, for the second body in AIST++'s format (Fig. 5c).
AIST_STYLES = {
    "BR": Style(("drop", "slide", "kick ball", "rock", "stomp", "pivot"), 0.8, 1.15, 1.0, 0.34, 0.10, 0.0,
                2.0, 2, 0.10, 1.3, ((1, 3, 5, 7), (1, 3, 6), (2, 4, 6))),
    "WA": Style(("point cross", "swing", "tut", "open close", "whip", "arm wave"), 1.25, 0.5, 0.8, 0.38, 0.12,
                0.035, 1.2, 2, 0.30, 0.5, ((1, 3, 5, 7), (1, 4, 6), (2, 4, 7))),
    "HO": Style(("knee drive", "jazz square", "rock", "step touch", "bounce", "slide"), 0.55, 1.1, 0.7, 0.40, 0.20,
                0.010, 2.6, 1, 0.15, 1.5, ((1, 3, 5, 7), (1, 3, 6), (1, 4, 6))),
}  # fmt: skip


def mirror(angles: np.ndarray) -> np.ndarray:
    """Poses (..., rotations) in rad with left and right exchanged."""
    return angles[..., _MIRROR] * _SIGN


def pose(name: str, style: Style) -> tuple[np.ndarray, float, np.ndarray]:
    """A pose of the table in a style: rotations (32,) in rad, turn in rad, travel (2,) in m; ``*`` after the name mirrors it."""
    angles, turn, travel = POSES[name.rstrip("*")]
    gain = np.ones(len(ROTATIONS))
    gain[ARMS], gain[LEGS], gain[TORSO] = style.arms, style.legs, style.torso
    angles, travel = NEUTRAL + gain * (angles - NEUTRAL), travel * style.travel
    if name.endswith("*"):
        return mirror(angles), -turn, travel * (-1, 1)
    return angles, turn, travel


# Directions of the bones without a rotation of their own, in their parent's frame.
_THIGH, _CLAVICLE, _SHOULDER, _HEAD, _TOE = (
    np.array(direction) / np.linalg.norm(direction)
    for direction in ((0.92, -0.39, 0.0), (0.45, 0.89, 0.0), (1.0, 0.0, 0.0), (0.0, 0.97, 0.24), (0.0, -0.34, 0.94))
)


def _turn(frame, axis, cos, sin):
    """The frame (its x, y, z axes, each (3, ...)) after a rotation about one of its own axes."""
    x, y, z = frame
    if axis == "x":
        return x, cos * y + sin * z, cos * z - sin * y
    if axis == "y":
        return cos * x - sin * z, y, cos * z + sin * x
    return cos * x + sin * y, cos * y - sin * x, z


def forward_kinematics(angles: np.ndarray, lengths: np.ndarray, skeleton: Skeleton = IMPERIALDANCE21):
    """Joint positions from joint rotations: angles (32, ...) rad, lengths (21,) m -> list of 21 (3, ...), head frame.

    The hip is the origin. Every bone keeps its length for any angles.
    """
    cos, sin = np.cos(angles), np.sin(angles)
    bone = {name: float(lengths[i]) for i, name in enumerate(skeleton.joints)}

    def turn(frame, name, axis, sign=1.0):
        i = INDEX[name]
        return _turn(frame, axis, cos[i], sign * sin[i])

    def along(frame, direction, length):
        return sum(float(d * length) * axis for d, axis in zip(direction, frame, strict=True) if d)

    shape = angles.shape[1:]
    unit = np.zeros((3, 3) + (1,) * len(shape), dtype=angles.dtype)
    for i in range(3):
        unit[i, i] = 1
    at = {"Hip": np.zeros((3, *shape), dtype=angles.dtype)}
    pelvis = turn(turn(turn(tuple(unit), "yaw", "y"), "roll", "z"), "pitch", "x")
    spine = turn(turn(turn(pelvis, "twist", "y"), "side", "z"), "bend", "x")
    chest = turn(turn(turn(spine, "chest_twist", "y"), "chest_side", "z"), "chest_bend", "x")
    head = turn(turn(turn(chest, "look", "y"), "tilt", "z"), "nod", "x")
    at["Ab"] = at["Hip"] + bone["Ab"] * spine[1]
    at["Chest"] = at["Ab"] + bone["Chest"] * spine[1]
    at["Neck"] = at["Chest"] + bone["Neck"] * chest[1]
    at["Head"] = at["Neck"] + along(head, _HEAD, bone["Head"])
    for s, sign in (("L", 1.0), ("R", -1.0)):
        out = np.array([sign, 1.0, 1.0])
        at[s + "Shoulder"] = at["Chest"] + along(chest, _CLAVICLE * out, bone[s + "Shoulder"])
        girdle = turn(chest, s + "shrug", "z", sign)
        at[s + "UArm"] = at[s + "Shoulder"] + along(girdle, _SHOULDER * out, bone[s + "UArm"])
        arm = turn(turn(turn(chest, s + "swing", "y", sign), s + "raise", "x", -1.0), s + "turn", "y", sign)
        at[s + "FArm"] = at[s + "UArm"] - bone[s + "FArm"] * arm[1]
        arm = turn(arm, s + "elbow", "x", -1.0)
        at[s + "Hand"] = at[s + "FArm"] - bone[s + "Hand"] * arm[1]
        at[s + "Thigh"] = at["Hip"] + along(pelvis, _THIGH * out, bone[s + "Thigh"])
        leg = turn(turn(turn(pelvis, s + "turnout", "y", sign), s + "out", "z", sign), s + "hip", "x", -1.0)
        at[s + "Shin"] = at[s + "Thigh"] - bone[s + "Shin"] * leg[1]
        leg = turn(leg, s + "knee", "x")
        at[s + "Foot"] = at[s + "Shin"] - bone[s + "Foot"] * leg[1]
        # The ankle compensates thigh and shin, so that the sole is horizontal; "point" is an additional rotation.
        level = angles[INDEX[s + "hip"]] - angles[INDEX[s + "knee"]] + angles[INDEX[s + "point"]]
        foot = _turn(leg, "x", np.cos(level), np.sin(level))
        at[s + "Toe"] = at[s + "Foot"] + along(foot, _TOE, bone[s + "Toe"])
    return [at[name] for name in skeleton.joints], head


_SOFTNESS_M = 0.012  # feet are at most 4 ln 2 / 2 times this above the floor; with a hard minimum, the speed would jump


def stand_on_floor(joints: list[np.ndarray], skeleton: Skeleton = IMPERIALDANCE21) -> np.ndarray:
    """Path of the hip (3, trials, frames) in m for a body with a fixed hip: the feet carry the body and do not sink into the floor.

    The lowest point of ankles (minus the height of a sole) and toes is on the floor, y = 0, or just above it. The foot that
    carries the weight stays in place, so the steps move the body.
    """
    part = {name: joints[skeleton.index(name)] for name in ("LFoot", "RFoot", "LToe", "RToe")}
    sole = float(-_TOE[1]) * skeleton.lengths[skeleton.index("LToe")] * 0.5
    soft = {
        s: -_SOFTNESS_M * np.logaddexp(-part[s + "Toe"][1] / _SOFTNESS_M, -(part[s + "Foot"][1] - sole) / _SOFTNESS_M)
        for s in "LR"
    }
    path = np.empty_like(part["LFoot"])
    path[1] = _SOFTNESS_M * np.logaddexp(-soft["L"] / _SOFTNESS_M, -soft["R"] / _SOFTNESS_M)
    weight = 1 / (1 + np.exp((soft["L"] - soft["R"]) / 0.03))  # on the left foot
    for axis in (0, 2):
        left, right = (np.diff(part[s + "Foot"][axis], axis=-1) for s in "LR")
        bearing = (weight[..., 1:] + weight[..., :-1]) / 2
        path[axis, ..., 0] = 0
        np.cumsum(-(bearing * left + (1 - bearing) * right), axis=-1, out=path[axis, ..., 1:])
    return path
