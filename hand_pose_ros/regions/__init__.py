"""Where a hand is looked for: a cube in depth, a perspective crop in color."""
