"""Plain data that every layer shares."""
