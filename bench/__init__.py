"""Research and measurements of ugrn, and the builder of its gene table: not part of the wheel."""
