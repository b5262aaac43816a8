"""What may keep a service from running; the text says what to do about it."""

__all__ = ["DatabaseRefused", "ServiceError", "ServiceFailed", "ServiceMissing"]


class ServiceError(Exception):
    """A service that this checkout needs cannot be had."""


class ServiceMissing(ServiceError, LookupError):
    """No server program is installed here and no URL names one elsewhere."""


class ServiceFailed(ServiceError, RuntimeError):
    """The server program is there but does not start; the end of its log is in the message."""


class DatabaseRefused(ServiceError, ConnectionError):
    """The database named by DATABASE_URL cannot be used as it is."""
