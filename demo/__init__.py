"""Larkrise Supply: a small shop that uses django-lockstep as a customer would."""

from demo.celery import app as celery_app

__all__ = ["celery_app"]
