"""The authors' released code (``YunZhongNikki/DanceMVP``, 2024), read and written anew: what it does where the paper differs.

Every difference is a function or class of its own; its docstring names the file of the released code that it describes.
"As released" says what the files do, and not what was run for the paper: the two may differ. ``differences`` lists them all.
"""

from __future__ import annotations

from dancemvp_core.released.checkpoint import load_checkpoint
from dancemvp_core.released.cutting import music_features
from dancemvp_core.released.hits import hit_rate

__all__ = ["hit_rate", "load_checkpoint", "music_features"]
