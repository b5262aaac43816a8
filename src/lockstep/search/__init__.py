"""Embeddings that commit with their rows, and hybrid search as a queryset.

::

    from lockstep.search.index import SearchIndex
    from lockstep.search.querysets import SearchQuerySet
"""
