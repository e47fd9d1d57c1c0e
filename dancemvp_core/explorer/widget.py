"""The explorer as a live widget: the map goes with it, a dance is sent when somebody asks for it."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.explorer.scene import Scene
from dancemvp_core.player import scripts

HERE = Path(__file__).parent
STYLE = HERE / "explorer.css"
# The script's files under js/ or the player's, from the small things to what puts them together.
PARTS = (
    "basics", "data", "sources", "state", "points", "map", "map_input", "toolbar", "legend", "group", "dance", "stage", "curves",
    "music", "player", "practice", "neighbours", "frames", "mount",
)  # fmt: skip


def script() -> str:
    """All that runs in the browser, as one ES module: the files share one scope, and the last one has the exports."""
    own = {file.stem: file for folder in (scripts.JS, HERE / "js") for file in folder.glob("*.js")}
    return scripts.joined(own[part] for part in PARTS)


class Explorer(anywidget.AnyWidget):
    """The map of an encoder's features ("name-seedN"), and behind each point its dance. DataError for an unknown encoder.

    Traits: ``header`` and ``points`` (``Scene.atlas``). Messages from the browser, each with an ``id`` that the answer
    repeats: ``{"ask": "clip", "sequence", "primitive"}``, ``{"ask": "audio", "key"}``, ``{"ask": "atlas", "encoder"}``;
    an answer holds ``header`` and a buffer, or ``error``, one line.
    """

    _esm = script()
    _css = STYLE
    header = traitlets.Dict().tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)

    def __init__(self, scene: Scene, encoder: str, picture: bytes = b"", **kwargs):
        header, points = scene.atlas(encoder)
        super().__init__(header=header, points=points, **kwargs)
        self._scene, self._picture = scene, picture
        self.on_msg(self._answer)

    def _answer(self, _, message: dict, buffers: list) -> None:
        try:
            header, data = self._found(message)
        except (DataError, KeyError, TypeError, ValueError) as fault:
            self.send({"id": message.get("id"), "error": " ".join(str(fault).split())})
        else:
            self.send({"id": message["id"], "header": header}, buffers=[data])

    def _found(self, message: dict) -> tuple[dict, bytes]:
        asked = message.get("ask")
        if asked == "clip":
            return self._scene.clip(int(message["sequence"]), int(message["primitive"]))
        if asked == "audio":
            return {}, self._scene.audio(str(message["key"]))
        if asked == "atlas":
            return self._scene.atlas(str(message["encoder"]))
        raise ValueError(f"asked for {asked!r}, expected clip, audio or atlas")

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and beside it its still picture (PNG) for readers of the notebook without a kernel."""
        import base64

        data, *rest = super()._repr_mimebundle_(**kwargs)
        if self._picture:
            data = data | {"image/png": base64.b64encode(self._picture).decode()}
        return (data, *rest)
