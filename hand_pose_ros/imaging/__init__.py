"""Depth and color images: decoding, viewing, rectification."""
