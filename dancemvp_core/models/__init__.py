"""The core: encoders of motion and music, the losses (InfoNCE is ``losses.info_nce``), and the text prompter."""
