"""Contrastive pre-training: augmentations, objectives, the method table, the training loop, and the encoders that it leaves."""
