"""The model card of an assessor: its data, its training, its measured reliability and its limits, in sentences.

The sentences come from the assessor's own file, so the card, the command and the report say the same.
"""

from __future__ import annotations

from dancemvp_core.assess.assessor import Assessor

SETS = {"test": "held-out performances of the test choreographies", "unseen dancers": "performances by unseen dancers"}
CHANGES = {  # what must not matter for a recording; ``steadiness`` in the facts says how much it did
    "turned": "turned in the room",
    "scaled": "in another unit of length",
    "frame rate": "saved at another frame rate",
    "quieter": "with its music 20 dB quieter",
    "constant": "with a constant part in its music",
    "44.1 kHz": "with its music at 44.1 kHz",
    "ogg": "with its music as OGG",
}


def card(assessor: Assessor) -> dict[str, list[str]]:
    """The card as {title: [sentence]}; the titles are Data, Training, Reliability and Limits."""
    return {
        "Data": _data(assessor),
        "Training": _training(assessor),
        "Reliability": [
            *(_measured(row, level_name(assessor)) for row in assessor.facts["measured"] or []),
            *_steadiness(assessor.facts.get("steadiness") or {}, level_name(assessor)),
        ],
        "Limits": limits(assessor),
    }


def level_name(assessor: Assessor) -> str:
    """What the data of an assessor call their levels."""
    return assessor.facts.get("level_name", "level")


def _data(assessor: Assessor) -> list[str]:
    facts = assessor.facts
    choreographies = sorted(assessor.classes["choreography"].unique())
    kind = "synthetic" if facts["synthetic"] else "recorded"
    return [
        f"The assessor learned {len(choreographies)} choreographies ({', '.join(choreographies)}) from "
        f"{facts['support_performances']} performances of the data set {facts['dataset']} ({kind} data).",
        f"Bodies are mapped to the {len(assessor.skeleton.joints)} joints of {assessor.skeleton.name}, put on one canonical body "
        "and turned to the front.",
    ]


def _training(assessor: Assessor) -> list[str]:
    facts = assessor.facts
    spec, size = facts["encoder"], sum(p.numel() for p in assessor.encoder.parameters())
    nets = " and ".join(f"{spec[modality]} ({modality})" for modality in ("motion", "music") if spec[modality])
    return [
        f"The encoder, {nets}, has {size / 1e6:.2f} million parameters; it was pre-trained with InfoNCE, without "
        f"labels, on the pre-train choreographies, and then frozen (profile {facts.get('profile')}).",
        "A prompter reads its features."
        + (
            " It was fitted on the support and on copies of it whose music has noise "
            f"({facts['music_noise']:g} standard deviations of each feature), so that it hears a lossy copy as the same song."
            if "music_noise" in facts  # older ones were not
            else ""
        ),
        "Probabilities, the interval of the score, and the thresholds for “unlike anything I was "
        "trained on” were chosen on held-out validation performances.",
    ]


def _measured(row: dict, level_name: str) -> str:
    """One row of ``calibration.stated`` as a sentence."""
    said = (
        f"Test on {row['performances']} {SETS.get(row['set'], row['set'])}: the choreography is right in "
        f"{row['choreography']:.0f} % (mean stated probability {row['choreography_confidence']:.0f} %), the {level_name} in "
        f"{row['level']:.0f} % (stated {row['level_confidence']:.0f} %)."
    )
    if row.get("score_coverage") is not None:
        said += f" The 90 % interval of the score contains the true score in {row['score_coverage']:.0f} %."
    return said + f" {row['unlike']:.0f} % are wrongly called “unlike anything I was trained on”."


def _steadiness(changes: dict, level_name: str) -> list[str]:
    """What a change that must not matter does to the answer (``steadiness`` of the facts): a sentence for each."""
    return [
        f"The same dance {CHANGES[name]}: the score moves by up to {change['score']:.1f} points, the {level_name} changes in "
        f"{change['level']:.0f} %, the choreography in {change['choreography']:.0f} %, the answer “unlike” in "
        f"{change['unlike']:.0f} % of {change['recordings']} recordings."
        for name, change in changes.items()
    ]


def limits(assessor: Assessor) -> list[str]:
    """What the answers of an assessor cannot mean."""
    facts = assessor.facts
    said = [
        f"In the training data, one person may dance each {level_name(assessor)} of a choreography: the assessor may recognise the "
        "person."
    ]
    if facts["synthetic"]:
        said.insert(0, "All it knows is synthetic: what it says of real dancers is not measured, and level and score mean little.")
    said += [
        "It knows no other choreographies; of a dance like none of them it says so, and not always.",
        "Times are on the recording's clock, and the first detected beat counts as beat one.",
    ]
    return said + [f"Switched off: {reason}." for reason in facts["switched_off"]]


def markdown(assessor: Assessor, made: dict) -> str:
    """The card as text, with what is known of its making: {"commit", "bytes", ...}."""
    lines = ["# The assessor that comes with the package", ""]
    for title, sentences in card(assessor).items():
        lines += [f"## {title}", "", *(f"- {sentence}" for sentence in sentences), ""]
    return "\n".join([*lines, "## Making", "", *(f"- {name}: {value}" for name, value in made.items()), ""])
