"""What every other app stands on: settings, errors, context, features, checks and the ports."""
