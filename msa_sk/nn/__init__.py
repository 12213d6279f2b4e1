"""Blocks of networks and their losses: torch, and nothing of this package."""
