"""A network fed back into a backbone: the adapter, its training, and what is exported of it."""
