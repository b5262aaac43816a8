"""What the database itself holds: canonical text and its digest, append-only tables, releases and who gets which."""
