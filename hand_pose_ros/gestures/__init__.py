"""Forms of a hand, and their names."""
