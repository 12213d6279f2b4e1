"""Scenes to learn from: synthesised, rendered from MIDI, read from disk."""
