"""The run of a notebook: profiles and parameters, folders, provenance, progress."""
