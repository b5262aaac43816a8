"""Hybrid retrieval: one ranking statement, handed out as a lazy queryset."""
