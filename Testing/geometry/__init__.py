"""Forty pairs on lattices of every kind, whose motion is known: is it found within half a voxel, in the world?

By hand, all of them with a table: `python Testing/geometry/run.py`. In every test run: some, in test_geometry_cases.py.
"""
