"""The ``ugrn`` command: one file per subcommand."""
