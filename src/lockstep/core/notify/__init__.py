"""How notices reach people: an outbox, sinks that it is delivered to, and who delivers.

A notice is a row, written in the transaction that it speaks of (``outbox``, or budgets' functions in the database).
``handing`` writes one delivery for each sink that wants it; ``claims`` gives the next one of a sink to one process at a
time, in the order of its incident; ``deliverer`` sends it, with no transaction open, and notes what came of it.
"""
