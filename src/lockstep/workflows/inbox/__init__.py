"""Events from outside: received once, kept until a run waits for them."""
