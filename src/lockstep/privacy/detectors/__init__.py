"""What looks for findings. The pack and the identities come with the app, others plug in by dotted path."""
