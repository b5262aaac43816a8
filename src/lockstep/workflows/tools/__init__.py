"""Functions with effects, called from nodes: an intent is recorded before each effect, its result after it."""
