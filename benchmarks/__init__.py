"""Benchmarks: each asserts what is claimed, and leaves its figures as files in ``results``.

``python -m benchmarks.<name> --size tiny|small|paper [--seed 0]``
"""
