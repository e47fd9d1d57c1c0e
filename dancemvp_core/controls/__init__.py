"""Additional studies: difficulty, leak audit, unseen dancers, augmentation, confusion, timing, and selection on validation."""
