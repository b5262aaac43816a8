"""Notices to Slack, Teams and the hundred other services that Apprise knows."""

from lockstep.contrib.apprise.sink import Apprise

__all__ = ["Apprise"]
