"""What ugrn is worth and how fast it is: not part of the wheel."""
