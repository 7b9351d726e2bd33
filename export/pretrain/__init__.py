"""Pretraining of the mini backbone: corpus, vocabulary, sampling, loop."""
