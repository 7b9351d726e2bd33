"""The speed of ugrn, next to limits of the machine and to other methods."""
