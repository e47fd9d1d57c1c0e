"""What a notebook is given and leaves: profiles and parameters, folders, provenance, progress."""
