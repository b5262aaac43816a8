"""Production AI inside Django.

Each app stands alone; install the ones you use: ``lockstep.core`` and ``lockstep.search``.
"""
