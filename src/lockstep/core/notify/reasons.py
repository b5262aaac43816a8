"""Why a sink did not take a message, in words that may be kept: no secret, no address, nothing that it answered."""

from __future__ import annotations

import os
import smtplib
import socket
import ssl

from lockstep.core.exceptions import LockstepError, SinkError, SinkRefused

__all__ = ["is_down", "reason", "retry_after_s"]


def reason(error: BaseException) -> str:
    """The type, and a short reason where one is known to be harmless. The text of a foreign error never is."""
    name = type(error).__name__
    said = _said(error)
    return f"{name}: {said}" if said else name


def is_down(error: BaseException) -> bool:
    """Whether other messages would fare no better now."""
    return not isinstance(error, SinkRefused)


def retry_after_s(error: BaseException) -> float | None:
    return error.retry_after_s if isinstance(error, SinkError) else None


def _said(error: BaseException) -> str:
    if isinstance(error, LockstepError):
        return " ".join(str(error).split())
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "certificate not trusted"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"answered {error.smtp_code}"
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return ""
