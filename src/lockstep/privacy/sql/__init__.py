"""What the database itself does for privacy."""
