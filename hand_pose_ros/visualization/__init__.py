"""Drawings, the Rerun scene, reports and plots."""
