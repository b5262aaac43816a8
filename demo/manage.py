#!/usr/bin/env python
"""Django's command line for the demo shop; ``bin/demo`` calls it."""

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> None:
    sys.path[:1] = [str(CHECKOUT)]  # not demo/ itself: its modules are demo.settings, demo.shop
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
