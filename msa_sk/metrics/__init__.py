"""Scores for separation and transcription, and scorers for model selection."""
