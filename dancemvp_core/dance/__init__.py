"""One performance: motion and its skeleton, music, eight-beats primitives, rhythm, and the pieces that encoders see."""
