"""The artifact folder that an export writes, and its model card."""
