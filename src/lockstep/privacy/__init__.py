"""What may be kept of a call: redaction by type and by identity, policies per feature."""
