"""Conventions shared by everything else: joints, sides, cameras, rotations. Imports nothing above it."""
