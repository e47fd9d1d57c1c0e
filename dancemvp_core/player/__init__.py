"""The player shows a dance in the browser, with its music: for the explorer, and for the report of an assessment.

``clips`` converts a dance for the browser, ``binary`` packs its numbers, and ``scripts`` joins the files in ``js``.
"""
