"""Keys, tokens and passwords in addresses."""

from __future__ import annotations

import math
from collections import Counter

__all__ = ["ASSIGNED", "KEYS", "LABEL", "MARKS", "PEM", "WORDS", "is_secret"]

#: what services put before their keys, and what follows
KEYS = (
    r"(?:sk|pk|rk)[-_](?:[A-Za-z0-9]{2,12}[-_]){0,3}[A-Za-z0-9_-]{16,}|"
    r"gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|"
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|"
    r"ya29\.[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{20,}|"
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|dop_v1_[a-f0-9]{32,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{20,}|"
    r"whsec_[A-Za-z0-9]{20,}|lsv2_[a-z]{2}_[A-Za-z0-9_]{20,}|"
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
)
MARKS = (
    "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox",
    "xapp-", "akia", "asia", "aiza", "ya29.", "hf_", "npm_", "pypi-", "sg.", "dop_v1_", "shpat_", "shpca_",
    "shppa_", "shpss_", "whsec_", "lsv2_", "eyj",
)  # fmt: skip
"""One of these is in a text that has such a key, in small letters."""
PEM = (
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
    r"(?:\s{1,4}[A-Za-z0-9+/=]{1,4096})*+(?:\s{0,4}-----END [A-Z ]{0,20}PRIVATE KEY-----)?"
)
ASSIGNED = r"[A-Za-z0-9][A-Za-z0-9_.~+/-]{15,}={0,2}"
LABEL = (
    r"(?:api|access|secret|private|auth|client|account|signing|encryption|shared)?[ _-]?(?:key|token|secret|password|"
    r"passwd|pwd|credential)s?|bearer|authorization|passphrase"
)


WORDS = (
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "credential",
    "bearer",
    "authorization",
    "passphrase",
)


def is_secret(value: str) -> bool:
    """Letters and digits in a disorder that words and dates do not have (Shannon, bits a character)."""
    if not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return entropy >= min(3.5, math.log2(len(value)) - 1)
