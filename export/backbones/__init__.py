"""Backbones: the single-cell foundation models that can be probed, a file or a package each."""
