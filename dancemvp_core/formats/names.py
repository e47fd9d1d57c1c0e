"""Joint names: which joint of a file is which joint of a skeleton, whatever software named it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton

# What a joint is called elsewhere, the likeliest name first. A joint is where its bone begins, as in BVH: the "arm" is at the
# shoulder. "Shoulder" is the collar bone where the upper arm has a name of its own, and else the shoulder.
_COLLAR = "collar clavicle"
_ARM_BY_BONES = {
    "Shoulder": "shoulder",
    "UArm": "uarm arm upperarm uparm",
    "FArm": "farm forearm lowerarm lowarm",
    "Hand": "hand wrist",
}
_ARM_BY_JOINTS = {
    "Shoulder": _COLLAR,
    "UArm": "shoulder shldr uarm upperarm uparm arm humerus",
    "FArm": "elbow farm forearm lowerarm lowarm radius",
    "Hand": "wrist hand",
}
_LEG = {
    "Thigh": "thigh upleg upperleg hip femur",
    "Shin": "shin lowerleg lowleg calf knee leg tibia",
    "Foot": "ankle foot",
    "Toe": "toe toebase toes toe0 ball foot",
}
_TRUNK = {"Hip": "hip hips pelvis spinebase root", "Neck": "neck neck1 neck0 spineshoulder", "Head": "head"}
_SPINE = "lowerback ab abdomen waist spine spinenavel spinemid torso chest spinechest upperchest thorax".split()
_SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
SHARED = 0.6  # a first word that so many names share is a prefix and no part of the body


def joint_names(
    names: list[str], skeleton: Skeleton, coincident: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Find a skeleton's joints among the names in a file: ({joint: name in the file}, joints that are missing).

    ``skeleton.names`` are looked for first, then the skeleton's own joints, then for ImperialDance's joints what other
    software calls them. Prefixes, separators, capitals, and where the side stands do not count. Joints that are
    ``coincident`` with their parent are not taken for the spine or neck if there are others.
    """
    exact = {name: name for name in reversed(names)}  # of two joints with one name, the first counts
    if skeleton.names and set(skeleton.names) & set(exact):
        found = {j: name for j, name in zip(skeleton.joints, skeleton.names, strict=True) if name in exact}
    else:
        by_key: dict[tuple[str, str], str] = {}
        for name, plain in zip(names, _without_prefix(names), strict=True):
            for key in _keys(plain):
                by_key.setdefault(key, name)
        likely = {j: exact.get(j, by_key.get(_keys(j)[0])) for j in skeleton.joints}
        own = {joint: name for joint, name in likely.items() if name is not None}
        if skeleton.joints == IMPERIALDANCE21.joints and len(own) < len(skeleton.joints):
            free = {key: name for key, name in by_key.items() if name not in coincident or key[0]}
            usual = _usual(by_key) | _usual_trunk(by_key) | _usual_trunk(free)
            own = max(own, usual, key=len)
        found = own
    return found, [joint for joint in skeleton.joints if joint not in found]


def _usual(by_key: dict[tuple[str, str], str]) -> dict[str, str]:
    """ImperialDance's joints of the limbs, from the usual names."""
    collars = any((side, part) in by_key for side in "LR" for part in _COLLAR.split())
    found = {}
    for side in "LR":
        for own, usual in ((_ARM_BY_JOINTS if collars else _ARM_BY_BONES) | _LEG).items():
            taken = [by_key[side, part] for part in usual.split() if (side, part) in by_key]
            free = [name for name in taken if name not in found.values()]
            if free:
                found[side + own] = free[0]
    return found


def _usual_trunk(by_key: dict[tuple[str, str], str]) -> dict[str, str]:
    """ImperialDance's joints of the trunk. Of the spine, Ab is the lowest joint and Chest the one in the middle."""
    found = {}
    for own, usual in _TRUNK.items():
        taken = [by_key["", part] for part in usual.split() if ("", part) in by_key]
        if taken:
            found[own] = taken[0]
    spine = []
    for (side, part), name in by_key.items():
        stem, digits = re.fullmatch(r"([a-z]*?)(\d*)", part).groups() if re.fullmatch(r"[a-z]+\d*", part) else ("", "")
        if not side and stem in _SPINE:
            spine.append((_SPINE.index(stem), int(digits or 0), name))
    chain = list(dict.fromkeys(name for *_, name in sorted(spine)))
    if len(chain) > 1:
        found |= {"Ab": chain[0], "Chest": chain[len(chain) // 2]}
    return found


def _without_prefix(names: list[str]) -> list[str]:
    """The names without namespaces ("Anna:"), and without prefixes that most or all of them share ("Bip01 ", "mixamorig")."""
    plain = [re.split(r"[:|]", name)[-1] for name in names]
    if len(names) < 5:
        return plain
    while True:
        words = [[word for word in re.split(r"[^A-Za-z0-9]+", name) if word] for name in plain]
        first = Counter(w[0].lower() for w in words if len(w) > 1)
        prefix, count = first.most_common(1)[0] if first else ("", 0)
        if count <= SHARED * len(names) or prefix in _SIDES:
            break
        has = [len(w) > 1 and w[0].lower() == prefix for w in words]
        plain = [" ".join(w[1:]) if h else name for h, w, name in zip(has, words, plain, strict=True)]
    lower = [name.lower() for name in plain]
    shared = next((n for n, (a, b) in enumerate(zip(min(lower), max(lower), strict=False)) if a != b), 0) if len(names) > 4 else 0
    return [name[shared:] if shared > 2 else name for name in plain]


def _keys(name: str) -> list[tuple[str, str]]:
    """The readings of a name as (side, part of the body), the likeliest first; the side is L, R or empty."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    if len(words) > 1 and words[0].lower() in ("c", "center", "centre", "mid"):
        words = words[1:]
    for rest, side in ((words[1:], words[:1]), (words[:-1], words[-1:])):
        if rest and side[0].lower() in _SIDES:
            return [(_SIDES[side[0].lower()], _part(rest))]
    plain = "".join(words)
    sided = (
        re.fullmatch(r"(?P<side>[Ll]eft|[Rr]ight|LEFT|RIGHT)(?P<part>.+)", plain)
        or re.fullmatch(r"(?P<part>.+?)(?P<side>Left|Right|LEFT|RIGHT|left|right)", plain)
        or re.fullmatch(r"(?P<side>[LRlr])(?P<part>[A-Z].*)", plain)
        or re.fullmatch(r"(?P<part>.*[a-z])(?P<side>[LR])", plain)
    )
    if sided:
        return [(_SIDES[sided["side"].lower()], _part([sided["part"]]))]
    keys = [("", _part(words))]
    if plain[:1].lower() in _SIDES and len(plain) > 1:  # lfoot
        keys.append((_SIDES[plain[0].lower()], plain[1:].lower()))
    return keys


def _part(words: list[str]) -> str:
    """The words as one, in lower case; numbers without leading zeros: Spine_01 is spine1."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", "".join(words).lower())
