"""The core of the method: motion and music encoders, losses (InfoNCE is ``losses.info_nce``), and the text prompter."""
