"""Measured against peers, side by side in one run: `make bench`, or `python -m bench PART …`. None of it is a test."""
