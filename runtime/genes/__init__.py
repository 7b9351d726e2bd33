"""Gene names: the table, matching, lists and pairs of them."""
