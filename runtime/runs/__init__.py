"""Runs that end in a file: stored block by block, resumed, and put on record."""
