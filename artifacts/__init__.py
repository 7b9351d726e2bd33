"""Bundled data: the artifact ``mini``, used where no other is named, and the gene table."""
