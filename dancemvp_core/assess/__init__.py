"""Assessment of your own recording: what is danced, how well, and how much on the beat.

``recording`` reads motion in all known formats. ``timeline`` compares the body's accents with the beats. ``assessor`` is
the trained part: one small file that needs no text model. ``fitting`` makes this file, and ``calibration`` calibrates it
(``12_assessor``). ``card`` describes it, and ``shipped`` has the one that comes with the package. ``assessment`` combines
everything into the JSON report; ``page`` and ``pictures`` show the report.

An *eight* is eight beats of a recording, the length of a primitive.

There is one clock, that of the recording. The music starts at ``--offset`` and is never stretched, unlike ImperialDance's
clips, whose time was normalised. An eight has eight beats at any tempo, so the networks get the same input on both clocks,
and the tolerances of BAR are real milliseconds.
"""
