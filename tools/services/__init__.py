"""PostgreSQL and Redis for this checkout: started when they are needed, stopped when nobody uses them.

A checkout has its own servers, kept apart by name ("test", "demo", "bench"). ``DATABASE_URL`` and
``REDIS_URL`` replace them. From a shell: ``python -m tools.services start|stop|status|url|run NAME``.
"""
