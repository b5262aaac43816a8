"""The demo is a project of its own, with settings of its own: its tests need a process of their own.

``test_project.py`` starts it. To run them alone: ``bin/test --ds=demo.settings tests/demo``.
"""

import os

collect_ignore = (
    ["shop"] if os.environ.get("DJANGO_SETTINGS_MODULE") != "demo.settings" else ["test_project.py"]
)
