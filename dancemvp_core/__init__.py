"""DanceMVP (AAAI 2024) as a reproducible package: data, models, losses, protocols and measures."""

__version__ = "0.1.0"
