"""Numbers that carry a derivative, and how torch's functions act on them."""
