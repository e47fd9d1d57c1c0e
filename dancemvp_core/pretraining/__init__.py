"""Pre-training: augmentations, objectives, the method table, the training loop, and the files of finished encoders."""
