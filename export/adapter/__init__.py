"""A network fed back into a backbone: the adapter, its training, and the tasks that say what it is worth."""
