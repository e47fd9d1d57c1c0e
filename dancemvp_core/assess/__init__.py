"""Assessment of a recording of one's own: what is danced, how well, and how much on the beat.

``recording`` reads motion in any of the known formats; ``timeline`` sets the body's accents against the beats;
``assessor`` is the trained part, one small file that needs no text model; ``fitting`` makes and calibrates that file
(``12_assessor``); ``assessment`` puts it all together as the JSON report; ``page`` and ``pictures`` show it.

One clock: the recording's own. The music plays from ``--offset`` on as the dancer heard it and is never stretched
(ImperialDance's clips, of which the time was normalised, are); a piece is eight beats long whatever the tempo, so what
the networks see is the same on both clocks, and the tolerances of BAR are real milliseconds.
"""
