"""Products and documents to be searched."""
