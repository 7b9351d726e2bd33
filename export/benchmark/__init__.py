"""The UGRN benchmark: how much of a score is pairwise knowledge."""
