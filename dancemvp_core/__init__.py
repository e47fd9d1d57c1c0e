"""DanceMVP (Zhong and Demiris, AAAI 2024), rebuilt. The map of the core, a room a line, in the order of imports:

``files``, ``style``, ``device``, ``code_hash``: atomic writes; palette and captions; precision; what code does, as a hash
``dance``         one performance: motion, skeleton, music, eight-beats primitives, rhythm (BAR), the pieces that encoders see
``models``        the core: encoders, losses (InfoNCE: ``losses.info_nce``), texts, the prompter
``datasets``      where dances come from: ImperialDance, SynthDance, AIST++, a manifest of one's own; the data card
``pretraining``   augmentations, objectives, the method table, the training loop, finished encoders
``runs``          what a notebook is given and leaves: profiles, folders, provenance, progress
``tasks``         the three tasks: splits, features, protocols, measures, floors, outcomes of every row
``paper``         its printed numbers, Tables 1 to 4 (``comparison`` makes Tables 2 and 3), Figs. 3 to 7, claims
``controls``      what the paper does not ask: difficulty, leak audit, unseen dancers, augmentation study
``assess``        a recording of one's own
``explorer``      the interactive map, and the report page
``cli``           the command ``dancemvp``
"""

__version__ = "0.1.0"
