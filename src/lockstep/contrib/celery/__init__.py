"""Lockstep's periodic work as Celery tasks: put ``lockstep.contrib.celery`` into INSTALLED_APPS."""
