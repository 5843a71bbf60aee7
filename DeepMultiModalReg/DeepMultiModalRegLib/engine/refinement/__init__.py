"""Refinement: the parts of the optimisation of one pair's field."""
