"""Benchmarks: each asserts what is claimed, and leaves its figures as files in ``results``.

``python -m benchmarks.<name> --size tiny|small|paper [--seed 0]``

Trainings are kept in ``runs``, which is no part of the repository, and so are the scores of each,
scene by scene. ``results/scores`` has those of trainings behind the tables there: a table is made
of them in minutes, and training takes place where one is missing. Remove the folder to train all
anew.
"""
