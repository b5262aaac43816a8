"""Models as a user of the package would write them."""
