"""Batch: a list of pairs through the engine, unattended: each case on its own, nothing lost, nothing half-written.

The list (listing) becomes cases; a runner hands them to worker processes that hold the model; each case's files
appear at once in a folder of their own (folder); a table and a page (summary, page) put the doubtful ones first.
"""
