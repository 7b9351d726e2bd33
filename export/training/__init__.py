"""Training: the bundled mini backbone, and the translators that read probes."""
