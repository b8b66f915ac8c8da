"""Synthetic depth of hands: Anny's people, anatomical poses, a rasterizer and models of depth sensors."""
