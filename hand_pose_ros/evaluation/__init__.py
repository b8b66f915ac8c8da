"""Replay of recordings against ground truth: what is known, what was found, and how far apart they are."""
