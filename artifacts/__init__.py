"""Bundled artifacts: ``mini``, the one used where no other is named."""
