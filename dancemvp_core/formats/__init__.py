"""Files as people have them: motion as BVH, C3D, CSV, NPY or pickle (``motion.read`` opens any), tables, joint names."""
