"""From features to calibrated probabilities, in NumPy."""
