"""One reader and one writer for each kind of file."""
