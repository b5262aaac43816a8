"""Larkrise Supply: a small shop that uses django-lockstep as a customer would."""
