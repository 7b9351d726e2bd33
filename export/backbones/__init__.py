"""Backbones: the single-cell foundation models that can be probed, one file each."""
