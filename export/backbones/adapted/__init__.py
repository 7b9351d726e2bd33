"""A backbone with a network fed back into it."""
