"""Benchmarks: each asserts what is claimed, and leaves its figures as files in ``results``.

``python -m benchmarks.<name> --size tiny|small|paper [--seed 0]``

Trainings are kept in ``runs``, which is no part of the repository, and so are the scores of each,
scene by scene, in ``runs/scores``. Such files are also looked for in ``results/scores``: copied
there, they make a table of what other machines have trained. Remove both to train all anew.
"""
