"""Synthetic depth of hands: Anny's people, anatomical poses, a rasteriser and models of depth sensors."""
