"""A seeded fuzz of the command `register`: damaged, hostile and odd files of every format, and what it makes of them.

By hand, a thousand: `python Testing/fuzz/run.py --count 1000` (see --help). In every test run: test_fuzz.py.
"""
