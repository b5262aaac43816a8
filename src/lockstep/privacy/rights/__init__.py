"""Whom the tables speak of may have it: a copy of what they say (Article 15 of the GDPR), and its erasure (Article 17).

``tables`` reads core's registry of subjects, ``erasing`` and ``exporting`` act on it, and ``Receipt`` is the record.
"""

from lockstep.privacy.rights.erasing import count, erase
from lockstep.privacy.rights.exporting import export

__all__ = ["count", "erase", "export"]
