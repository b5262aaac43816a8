"""Redacted content that only the holders of a key can read (Fernet: AES-128-CBC with HMAC-SHA256)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockstep.privacy.conf import settings
from lockstep.privacy.exceptions import EncryptionUnavailable

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["encrypt", "reveal", "rotate"]


def encrypt(text: str) -> str:
    """A token of the text, by the newest key.

    Raises:
        EncryptionUnavailable: no key is set, one cannot be used, or the package is missing.
    """
    token: bytes = _fernet().encrypt(text.encode("utf-8", "surrogatepass"))
    return token.decode()


def reveal(token: str) -> str:
    """The text of a token, by whichever key made it.

    Raises:
        EncryptionUnavailable: none of the keys opens it.
    """
    fernet = _fernet()
    from cryptography.fernet import InvalidToken

    try:
        text: bytes = fernet.decrypt(token.encode())
    except InvalidToken:
        raise EncryptionUnavailable("None of the encryption keys opens this content.") from None
    return text.decode("utf-8", "surrogatepass")


def rotate(token: str) -> str:
    """The same content by the newest key, so that an old key can be taken out of the settings."""
    from cryptography.fernet import InvalidToken

    try:
        new: bytes = _fernet().rotate(token.encode())
    except InvalidToken:
        raise EncryptionUnavailable("None of the encryption keys opens this content.") from None
    return new.decode()


def _fernet() -> MultiFernet:
    keys = settings().encryption_keys
    if not keys:
        raise EncryptionUnavailable
    try:
        from cryptography.fernet import Fernet, MultiFernet

        return MultiFernet([Fernet(key) for key in keys])
    except (ImportError, ValueError) as error:
        raise EncryptionUnavailable(f"The encryption keys cannot be used: {type(error).__name__}.") from None
