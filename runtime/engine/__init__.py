"""The graphs at work: sessions, probes, and cell states."""
