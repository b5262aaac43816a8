"""Settings of our PostgreSQL servers."""

import contextlib
import locale
import os

__all__ = ["PROFILES", "shared_memory_settings", "utf8_ctype"]

PROFILES: dict[str, dict[str, str]] = {
    # thrown away at the slightest doubt, so nothing is worth a flush to the disk
    "test": {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_connections": "200",
    },
    "demo": {"max_connections": "50"},
    "bench": {
        "shared_buffers": "512MB",
        "maintenance_work_mem": "512MB",
        "max_wal_size": "4GB",
        "max_connections": "100",
    },
}
"""Settings of each server, by name. What is not listed is PostgreSQL's default."""


def utf8_ctype() -> str:
    """A locale of this system that tells PostgreSQL's text search parser letters from dashes."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "en_US.UTF-8"):
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_CTYPE, name)
                return name
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C"


def shared_memory_settings() -> dict[str, str]:
    """Parallel index builds need maintenance_work_mem of shared memory; a container's /dev/shm is 64 MB."""
    try:
        shm = os.statvfs("/dev/shm")
    except OSError:
        return {}
    return {} if shm.f_frsize * shm.f_bavail >= 1 << 30 else {"dynamic_shared_memory_type": "mmap"}
