"""A BVH of given joint positions, for tests: every joint aims a helper of length 0 at each of its children."""

import numpy as np
from scipy.spatial.transform import Rotation

MIXAMO = {
    "Hip": "mixamorig:Hips", "Ab": "mixamorig:Spine", "Chest": "mixamorig:Spine1", "Neck": "mixamorig:Neck",
    "Head": "mixamorig:Head",
} | {
    side[0] + own: f"mixamorig:{side}{word}"
    for side in ("Left", "Right")
    for own, word in zip(
        "Shoulder UArm FArm Hand Thigh Shin Foot Toe".split(),
        "Shoulder Arm ForeArm Hand UpLeg Leg Foot ToeBase".split(), strict=True,
    )
}  # fmt: skip


def write(path, motion, skeleton, fps, names=MIXAMO):
    """``motion`` (3, T, V) of constant bone lengths, as hierarchy and Euler angles; names maps joints to the file's."""
    children = {j: [c for c, p in skeleton.bones if p == j] for j in range(len(skeleton.joints))}
    frames = motion.shape[1]
    lines, columns = ["HIERARCHY"], [motion[:, :, skeleton.root].T]

    def angles(local):
        return Rotation.from_matrix(local).as_euler("ZXY", degrees=True)  # intrinsic, as the channels are listed

    def node(kind, name, offset, depth, local, inner):
        pad = "  " * depth
        channels = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
        lines.append(f"{pad}{kind} {name}")
        lines.append(f"{pad}{{")
        lines.append(f"{pad}  OFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}")
        lines.append(f"{pad}  CHANNELS {channels} Zrotation Xrotation Yrotation")
        columns.append(angles(local))
        inner()
        lines.append(f"{pad}}}")

    def joint(j, offset, depth, turned):
        """``turned`` (T, 3, 3): the global rotation that joint j inherits and keeps."""

        def inner():
            if not children[j]:
                lines.append("  " * depth + "  End Site\n" + "  " * depth + "  {\n    OFFSET 0 0.1 0\n" + "  " * depth + "  }")
            for c in children[j]:
                bone = (motion[:, :, c] - motion[:, :, j]).T.astype(float)
                length = np.linalg.norm(bone[0])
                aim = np.stack([Rotation.align_vectors([b], [[0, length, 0]])[0].as_matrix() for b in bone])
                local = np.swapaxes(turned, 1, 2) @ aim
                helper = f"{skeleton.joints[j]}_to_{skeleton.joints[c]}"
                node("JOINT", helper, (0, 0, 0), depth + 1, local,
                     lambda c=c, length=length, aim=aim: joint(c, (0, length, 0), depth + 2, aim))  # fmt: skip

        still = np.tile(np.eye(3), (frames, 1, 1))
        node("ROOT" if j == skeleton.root else "JOINT", names[skeleton.joints[j]], offset, depth, still, inner)

    joint(skeleton.root, (0, 0, 0), 0, np.tile(np.eye(3), (frames, 1, 1)))
    values = np.concatenate(columns, axis=1)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / fps:.9f}"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_positions(path, motion, skeleton, fps, names=None, first=None):
    """``motion`` (3, T, V) as BVH whose joints have six channels: each stands at its place from its parent, and none turns.

    ``first`` (V, 3) is a rest pose, put before the motion as one more frame; ``names`` maps joints to the file's.
    """
    names = names or {joint: joint for joint in skeleton.joints}
    place = motion.transpose(1, 2, 0).astype(float)
    if first is not None:
        place = np.concatenate([first[None], place])
    children = {j: [c for c, p in skeleton.bones if p == j] for j in range(len(skeleton.joints))}
    lines, columns = ["HIERARCHY"], []

    def node(j, depth):
        pad, parent = "\t" * depth, skeleton.parents[j]
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {names[skeleton.joints[j]]}")
        lines.append(f"{pad}{{\n{pad}\tOFFSET 1.0 2.0 3.0")
        lines.append(f"{pad}\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation")
        at = place[:, j] - (place[:, parent] if parent >= 0 else 0)
        columns.append(np.concatenate([at, np.full_like(at, 360.0)], axis=1))  # a whole turn is none
        for c in children[j]:
            node(c, depth + 1)
        if not children[j]:
            lines.append(f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET 0 0 0\n{pad}\t}}")
        lines.append(f"{pad}}}")

    node(skeleton.root, 0)
    values = np.concatenate(columns, axis=1)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {1 / fps:.6f}"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return path
