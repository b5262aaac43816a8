"""The tests' own settings, for workers in processes of their own. ``FLOWS_SETTINGS``: their workflows section, JSON."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import LOCKSTEP

LOCKSTEP = {**LOCKSTEP, "workflows": json.loads(os.environ.get("FLOWS_SETTINGS", "{}"))}
