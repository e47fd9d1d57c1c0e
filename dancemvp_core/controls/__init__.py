"""What the paper does not ask: difficulty, leak audit, unseen dancers, augmentation study, confusion, selection on validation."""
