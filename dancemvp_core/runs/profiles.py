"""The four profiles, smoke, demo, study and paper, and the check of parameters in every notebook's second cell.

A profile is one entry of ``PROFILES``: all sizes and lengths that differ between a quick run and the paper's experiment. A
notebook has few parameters of its own (``STAGES``), such as the folder of the data and the seed. All other values come
from its profile.
"""

from __future__ import annotations

import ast
import difflib
import os
import types
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from dancemvp_core.pretraining.methods import CHANGES

SHOTS_IN_TABLES = 20
SYNTHDANCE = "synthdance"  # name of the embedded data set in results
# The data's own sets; those of the authors' released code; two with other validation choreographies; one that divides people
# (``tasks.splits``).
SPLITS = ("", "released", "validation2", "validation3", "people")


class ParameterError(ValueError):
    """A parameter is unknown or has a wrong value. The message is one line: notebook, parameter, expected and given value."""

    def _render_traceback_(self):  # Jupyter shows this line instead of a traceback
        return [f"{type(self).__name__}: {self}"]


def _tuple(value):
    """Convert lists to tuples: YAML and JSON have only lists, and strict validation refuses a list for a tuple."""
    return tuple(_tuple(v) for v in value) if isinstance(value, list) else value


Count = Annotated[int, Field(ge=1)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(_tuple), Field(min_length=1)]


class _Strict(BaseModel):
    """A model without unknown names and without silent conversions; only an int may replace a float."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Profile(_Strict):
    """The size of an experiment. Lengths are in frames of the resampled piece.

    ``trials``: number of trials in each file of SynthDance. ``pretrain_recordings``: most recordings in pre-training, spread over
    choreographies and levels (paper: all 30 files of 100 trials). ``epochs``: passes over their pieces; ``least_steps``: a
    data set with so few pieces that these passes have fewer steps gets more passes. ``seeds``: number of seeds (0, 1, ...) of
    a row. Rows with a ResNet-50 have ``epochs_resnet50`` passes and at most ``seeds_costly`` seeds; rows whose objective
    learns slower (``pretrained.SLOW``) have ``epochs_slow`` passes. The readings of the released code have at most
    ``seeds_costly`` seeds, too. ``variants``: those of ``extra_augmentation`` (none: the notebook is
    left out). ``released_differences``: the differences of the released code that are measured; "as released" is all of them
    together (none named: each one, and all together). ``shots``: performances of each class in the support, in the tables;
    ``shots_curve``: in Fig. 7. ``downstream_steps`` and ``downstream_rate``: the most steps of a fit of the prompter, and its
    learning rate. Few steps need a high one: with demo's features and 20 shots, Task 1 on validation is right in 69.3 % (64 at
    0.012), 33.8 % (50 at 0.002) and 71.8 % (200 at 0.002). ``tsne_points``: points of a map; the paper's Fig. 5a has
    3 choreographies x 3 levels x 3 primitives x 100 trials =
    2,700, whatever the number in pre-training.

    ``time_normalisation``: how music that is longer than its clip comes to the clip's 10 s. "stretch" maps the whole window to
    the clip, so music and clip begin and end together. "crop" takes the first 10 s of the music as they are; this is the
    released reading. It changes what eight beats are: take a window of 15 s at 120 beats per minute. Stretched, eight beats
    are 2.7 s of the clip, and three eights fit. Cropped, they are 4 s, and three eights would need 12 s: ``primitives.fit_grid``
    then doubles the tempo, and a piece has four beats of the music. Three cropped eights fit into 10 s only above 142 beats per
    minute. The paper has three eights in each clip of 10 s, so the profiles keep "stretch". ``01_table1_data`` measures which of
    the two the motion in the data follows, and released_code.csv has the effect of "crop" (``clock``).

    Of the settings of pre-training that the released code states, ``epochs`` is the same in "paper"; ``pretraining.methods``
    goes through all of them.
    """

    name: str
    # data
    trials: Count = 100
    pretrain_recordings: Count = 3000
    piece_frames: Count = 100
    time_normalisation: Literal["stretch", "crop"] = "stretch"
    bar_scope: Literal["sequence", "piece"] = "sequence"
    # pre-training
    channels: Counts = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    dim: Count = 128
    features: Count = 256
    epochs: Count = 100
    epochs_resnet50: Count = 100
    epochs_slow: Count = 100
    least_steps: Count = 10000
    batch_size: Annotated[int, Field(ge=2)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    schedule: Literal["constant", "cosine"] = "cosine"
    variants: tuple[str, ...] = tuple(CHANGES)
    released_differences: tuple[str, ...] = ()
    # downstream
    seeds: Count = 5
    seeds_costly: Count = 5
    shots: Count = SHOTS_IN_TABLES
    shots_curve: Counts = (1, 5, 10, 20, 50)
    genres: Counts = (1, 2, 3, 4, 5)
    downstream_steps: Count = 2000
    downstream_rate: Annotated[float, Field(gt=0)] = 2e-3
    # maps
    tsne_points: Count = 2700


# What demo and study share: networks, pieces and batches that two cores can train.
NARROW = {
    "pretrain_recordings": 300, "piece_frames": 50, "channels": (32, 64, 128), "dim": 128, "features": 128, "batch_size": 32,
    "learning_rate": 1e-3, "seeds_costly": 1,
}  # fmt: skip

PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        name="smoke",
        trials=12,
        pretrain_recordings=30,
        piece_frames=32,
        channels=(16, 32, 64),
        dim=64,
        features=64,
        epochs=2,
        epochs_resnet50=1,
        epochs_slow=2,
        least_steps=4,
        variants=("position",),
        released_differences=("split", "text", "as released"),
        batch_size=32,
        learning_rate=1e-3,
        seeds=1,
        seeds_costly=1,
        shots=3,
        shots_curve=(1, 3),
        genres=(1, 5),
        downstream_steps=24,
        tsne_points=450,
    ),
    "demo": Profile(
        name="demo",
        **NARROW,
        epochs=2,
        epochs_resnet50=1,
        epochs_slow=2,
        least_steps=56,
        variants=(),
        released_differences=("hit rate", "target"),  # those that need no pre-training
        seeds=1,
        genres=(1, 3, 5),
        downstream_steps=64,
        downstream_rate=0.012,
    ),
    "study": Profile(
        name="study",
        **NARROW,
        epochs=8,
        epochs_resnet50=4,
        epochs_slow=48,
        least_steps=224,
        seeds=3,
        downstream_steps=200,
    ),
    "paper": Profile(name="paper"),
}


GIVEN = ("seeds", "shots")  # values of a profile that the user of `make reproduce` may give: every table states them


def load(profile: str, **overrides) -> Profile:
    """Return the profile with this name; ``overrides`` replace some of its values.

    Raises ParameterError (one line) for an unknown profile, an unknown name or a wrong value.
    """
    if profile not in PROFILES:
        raise ParameterError(f"profile {profile!r}: expected one of {', '.join(PROFILES)}")
    values = PROFILES[profile].model_dump() | overrides
    return _checked(Profile, values, f"profile {profile}")


# Each notebook's parameters beside profile, data and root: (its own parameters, the profile's values that it reads).
# A notebook can read only these values, so the workflow knows which notebooks are out of date after a change of a profile.
_DATA = ("pretrain_recordings", "piece_frames", "time_normalisation", "bar_scope")
_WIDTH = ("channels", "dim", "features")
_DOWNSTREAM = ("seeds", "shots", "downstream_steps", "downstream_rate", "bar_scope")
Seed = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Names = Annotated[tuple[str, ...], BeforeValidator(_tuple)]

STAGES: dict[str, tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]] = {
    "01_table1_data": ({}, _DATA),
    "02_fig3_fig4_primitives": ({}, _DATA),
    "03_pretraining": (
        {"pretraining": (str, "stgcn-lstm-infonce"), "seed": (Seed, 0)},
        (*_WIDTH, "epochs", "epochs_resnet50", "epochs_slow", "least_steps", "batch_size", "learning_rate", "schedule"),
    ),
    "04_fig5_embeddings": ({"aistpp": (str, "")}, (*_WIDTH, "piece_frames", "time_normalisation", "tsne_points")),
    "05_table2_baselines": ({}, (*_WIDTH, *_DOWNSTREAM, "seeds_costly")),
    "06_table3_ablation": ({}, (*_WIDTH, *_DOWNSTREAM, "seeds_costly")),
    "07_table4_fig7_prompting": ({}, (*_WIDTH, *_DOWNSTREAM, "shots_curve", "genres")),
    "08_fig6_progression": ({}, (*_WIDTH, *_DOWNSTREAM)),
    "09_released_code": (
        {},
        (*_WIDTH, *_DATA, "epochs", "least_steps", "batch_size", "learning_rate", "schedule", "released_differences", "seeds",
         "seeds_costly", "shots", "downstream_steps", "downstream_rate"),
    ),
    "10_extra_augmentation": ({}, (*_WIDTH, "shots", "variants")),
    "11_extra_unseen_dancers": ({}, (*_WIDTH, *_DOWNSTREAM, "piece_frames", "time_normalisation")),
    "12_assessor": (
        {}, (*_WIDTH, "shots", "downstream_steps", "downstream_rate", "piece_frames", "bar_scope", "time_normalisation"),
    ),
    "13_claims": ({}, (*_WIDTH, *_DOWNSTREAM, "seeds_costly")),
    "extra_difficulty": ({}, (*_WIDTH, "shots", "seeds", "bar_scope")),
    "extra_synchrony": ({}, (*_WIDTH, *_DOWNSTREAM)),
    "extra_confusion": ({}, (*_WIDTH, *_DOWNSTREAM)),
    "extra_timing": ({}, (*_WIDTH, *_DOWNSTREAM, "seeds_costly")),
    "explore": ({"encoder": (str, "stgcn-lstm-infonce-seed0")}, (*_WIDTH, "shots", "time_normalisation", "tsne_points")),
    "assess": (
        {"motions": (Names, ()), "music": (str, ""), "offset_s": (Seconds, 0.0), "fps": (Seconds, 0.0), "skeleton": (str, "")},
        (),
    ),
}


class Parameters(_Strict):
    """A notebook's checked parameters as attributes: its own, and the values of its profile that it reads.

    ``data``: folder of the data set (empty: SynthDance under ``root``). ``root``: folder for the results (empty: the
    project). ``split``: which choreographies pre-train and test (empty: the data's own sets, ``tasks.splits``).
    """

    stage: str
    profile: str = "smoke"
    data: str = ""
    root: str = ""
    split: Literal["", "released", "validation2", "validation3", "people"] = ""

    @cached_property
    def project(self) -> Path:
        """The folder that contains build/, results/ and figures/."""
        return Path(self.root).expanduser().resolve() if self.root else project_root()

    @cached_property
    def data_root(self) -> Path:
        """The folder of the data set."""
        return Path(self.data).expanduser().resolve() if self.data else synthdance_root(self.project, self.profile)

    @cached_property
    def aistpp_root(self) -> Path:
        """The folder of AIST++, or of its stand-in in the same format if no folder is given."""
        given = getattr(self, "aistpp", "")
        return Path(given).expanduser().resolve() if given else aistpp_standin_root(self.project)

    @cached_property
    def label(self) -> str:
        """The profile's name for folders, with "-modified" if a value differs from the profile.

        So results with other settings never appear under a profile's name. The numbers of seeds and shots may differ, because
        every table states them.
        """
        own = PROFILES[self.profile]
        knobs = [k for k in STAGES[self.stage][1] if not k.startswith("seeds") and k not in GIVEN]
        return self.profile if all(getattr(self, k) == getattr(own, k) for k in knobs) else f"{self.profile}-modified"

    @cached_property
    def job(self) -> str:
        """The notebook's name, with the pre-training and the seed if the notebook runs once for each of them."""
        own = [k for k in ("pretraining", "seed") if k in STAGES[self.stage][0]]
        return "-".join([self.stage, *(f"seed{self.seed}" if k == "seed" else getattr(self, k) for k in own)])


def validate(stage: str, namespace: dict[str, Any] | None = None, /, **parameters) -> Parameters:
    """Return a notebook's checked parameters, with the values of its profile. Every notebook's second cell calls this.

    ``namespace`` is the notebook's ``globals()``; or pass the parameters by name. Raises ParameterError (one line) for a
    wrong value, and for a name that is neither a parameter of the notebook nor a value of the profile that it reads
    (papermill only warns).
    """
    if stage not in STAGES:
        raise ParameterError(f"notebook {stage!r}: expected one of {', '.join(STAGES)}")
    own, knobs = STAGES[stage]
    known = [name for name in (*Parameters.model_fields, *own, *knobs) if name != "stage"]
    given = parameters if namespace is None else _parameters_of(namespace, known) | parameters
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
            raise ParameterError(f"notebook {stage}: unknown parameter {name!r}; {hint}")
    profile = given.get("profile", "smoke")
    if profile not in PROFILES:
        raise ParameterError(f"notebook {stage}: profile is {profile!r}, expected one of {', '.join(PROFILES)}")
    from_profile = {k: getattr(PROFILES[profile], k) for k in knobs}
    return _checked(_model(stage), {"stage": stage} | from_profile | given, f"notebook {stage}")


def synthdance_root(project: Path, profile: str) -> Path:
    """Return the folder of a profile's embedded data set; profiles with the same number of trials share one folder."""
    return project / "build" / "data" / f"{SYNTHDANCE}-{PROFILES[profile].trials}-trials"


def unseen_dancers_root(project: Path, profile: str, split: str = "") -> Path:
    """Return the folder of a split's test choreographies in SynthDance with unseen dancers."""
    name = f"{SYNTHDANCE}-unseen-dancers-{PROFILES[profile].trials}-trials"
    return project / "build" / "data" / with_split(name, split)


def strong_style_root(project: Path, profile: str, dancers: str, split: str = "") -> Path:
    """Return the folder of a split's test choreographies in SynthDance, by the "seen" or "unseen" dancers with a strong style.

    It has as many trials as the tables' support and an equal query need.
    """
    name = f"{SYNTHDANCE}-strong-style-{dancers}-dancers-{strong_style_trials(PROFILES[profile])}-trials"
    return project / "build" / "data" / with_split(name, split)


def strong_style_trials(profile: Profile) -> int:
    """Return the number of trials in each file of the dancers with a strong style: half are query, half are support."""
    return 2 * profile.shots


def with_split(name: str, split: str) -> str:
    """Return the name of a data set under a split, so that results of two splits are never in one folder."""
    return f"{name}-{split}-split" if split else name


def known_split(split: str) -> str:
    """Return the name of a split, "" for the data's own sets. Raises ParameterError (one line) for an unknown one."""
    if split not in SPLITS:
        raise ParameterError(f"split {split!r}: expected {' or '.join(filter(None, SPLITS))}, or none for the data's own")
    return split


def aistpp_standin_root(project: Path) -> Path:
    """Return the folder of AIST++'s stand-in: a second SynthDance body in AIST++'s format, for runs without AIST++."""
    return project / "build" / "data" / "aistpp-standin"


def project_root() -> Path:
    """Return the folder of the package's checkout, or the working directory if the package has no checkout."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path(os.getcwd())


def _model(stage: str) -> type[Parameters]:
    own, knobs = STAGES[stage]
    copied = {k: (Profile.model_fields[k].annotation, Profile.model_fields[k]) for k in knobs}
    return create_model(f"Parameters_{stage}", __base__=Parameters, **own, **copied)


def _checked(model: type[_Strict], values: dict, where: str):
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ParameterError(f"{where}: unknown parameter {name!r}") from None
        # "Input should be a valid integer, got ..." -> "a valid integer"
        expected = first["msg"].removeprefix("Input should be ").replace("greater than", "a value greater than")
        got = first["input"]
        raise ParameterError(f"{where}: {name}: expected {expected}, got {got!r} ({type(got).__name__})") from None


def _parameters_of(namespace: dict[str, Any], known: list[str]) -> dict[str, Any]:
    """Return the parameters in a notebook's globals: known names, and all names that the cells before the check assign.

    The history of the session (``In``) shows which names the parameters cell and papermill's cell assign. So the check
    does not take later variables for parameters when the second cell runs again.
    """
    cells = list(namespace.get("In", []))
    first = next((i for i, cell in enumerate(cells) if "validate(" in cell), len(cells))
    assigned = [name for cell in cells[:first] for name in _assigned(cell)]
    if "In" not in namespace:
        assigned = [k for k, v in namespace.items() if not k.startswith("_") and not _is_import(v)]
    names = [n for n in dict.fromkeys([*assigned, *known]) if n in namespace]
    return {name: namespace[name] for name in names}


def _assigned(cell: str) -> list[str]:
    """Return the names that a cell assigns at its top level; none if the cell is not plain Python (a magic, a shell line)."""
    try:
        body = ast.parse(cell).body
    except SyntaxError:
        return []
    targets = [t for s in body for t in (s.targets if isinstance(s, ast.Assign) else [getattr(s, "target", None)])]
    return [t.id for t in targets if isinstance(t, ast.Name)]


def _is_import(value) -> bool:
    return isinstance(value, types.ModuleType | types.FunctionType | type)
