"""A run once more, from what is written of it: nothing is done to the world, and nothing to the run."""
