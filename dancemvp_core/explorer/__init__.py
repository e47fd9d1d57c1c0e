"""The explorer shows the feature maps of a run in the browser, and the dance of every point.

``scene`` collects the data of the maps, and ``widget`` is the live explorer in a notebook. The browser runs the files in ``js``
and those of ``player``, which ``widget.script`` joins, with ``explorer.css``. ``report`` writes the static page.
"""

from dancemvp_core.explorer.scene import Scene
from dancemvp_core.explorer.widget import Explorer

__all__ = ["Explorer", "Scene"]
