"""The tests' own settings, for workers in processes of their own. ``FLOWS_SETTINGS``: their workflows section, JSON;
``FLOWS_CLOCK``: by how many seconds their clock is wrong."""

import json
import os
import time
from datetime import timedelta

from django.utils import timezone

from tests.settings import *  # noqa: F403
from tests.settings import LOCKSTEP

LOCKSTEP = {**LOCKSTEP, "workflows": json.loads(os.environ.get("FLOWS_SETTINGS", "{}"))}

if wrong := float(os.environ.get("FLOWS_CLOCK", 0)):
    right, right_now = time.time, timezone.now
    time.time = lambda: right() + wrong
    timezone.now = lambda: right_now() + timedelta(seconds=wrong)
