"""The explorer: a run's feature map in the browser, and the dance behind every point.

``scene`` is what there is to see, ``clips`` a piece as the browser gets it, ``binary`` how numbers travel,
``widget`` the live form in a notebook. What runs in the browser are the files under ``js``, joined by ``widget.script``, and
``explorer.css``. The static page is made by ``dancemvp_core.explorer.report``.
"""

from dancemvp_core.explorer.scene import Scene
from dancemvp_core.explorer.widget import Explorer

__all__ = ["Explorer", "Scene"]
