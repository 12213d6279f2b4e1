"""The systems: one file per system or family."""
