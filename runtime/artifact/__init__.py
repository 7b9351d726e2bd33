"""Artifact folders: opened, verified, and found by name."""
