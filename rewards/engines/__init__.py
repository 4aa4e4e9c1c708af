"""Engines: usage rows to roll-up, quarantine and counts."""
