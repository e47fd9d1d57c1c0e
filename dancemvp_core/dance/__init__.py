"""One performance: motion and its skeleton, music, eight-beat primitives, rhythm, and the pieces that the encoders get."""
