"""``python -m benchmarks.streaming ROWS``: stream rows through the bulk load and print the peak memory.

A process of its own, because the largest resident memory of a process never shrinks.
"""

from __future__ import annotations

import json
import resource
import sys

import django

from benchmarks.loading import fields
from benchmarks.synthetic import Corpus


def main(rows: int) -> None:
    django.setup()
    from benchmarks.project.catalogue.models import Doc

    Doc.search.load(Doc(**fields(row)) for row in Corpus(rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # kilobytes on Linux, bytes on macOS
    print(json.dumps({"peak_mib": peak / (2**20 if sys.platform == "darwin" else 2**10)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
