"""A reimplementation of DanceMVP (Zhong and Demiris, AAAI 2024). The packages of the core, in the order of their imports:

===============  =================================================================================================================
``files``        atomic writes
``style``        palette and captions
``labels``       what labels are called
``device``       device and precision
``convolution``  layers for small images
``code_hash``    hashes of code
``dance``        one performance: motion, skeleton, music, primitives (eight beats), rhythm (BAR), the pieces for the encoders
``formats``      files as people have them: BVH, C3D, CSV (Motive's too), NPY, pickles, Kinect; tables, joint names, markers
``download``     downloads of public data sets, whole or continued, with their hashes
``player``       a dance in the browser: skeleton, music, time
``models``       the core of the method: encoders, losses (InfoNCE: ``losses.info_nce``), texts, the prompter
``datasets``     the data sets: ImperialDance, SynthDance, AIST++, Bandai Namco's, UMONS-TAICHI, a manifest; the data card
``pretraining``  augmentations, objectives, the method table, the training loop, finished encoders
``runs``         the run of a notebook: profiles, folders, provenance, progress
``tasks``        the three tasks: splits, features, protocols, measures, floors, outcomes of all rows
``released``     a reimplementation of the authors' released code, with its differences from the paper
``paper``        the paper's printed numbers, Tables 1 to 4 (``comparison``: Tables 2 and 3), Figs. 3 to 7, claims
``controls``     additional studies: difficulty, leak audit, unseen dancers, augmentation study
``assess``       the assessment of your own recordings
``explorer``     the interactive map, and the report page
``cli``          the command ``dancemvp``
===============  =================================================================================================================
"""
