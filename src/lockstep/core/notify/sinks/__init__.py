"""Sinks that need nothing but Django: the log, mail, a signed webhook and PagerDuty."""

from lockstep.core.notify.sinks.log import Log
from lockstep.core.notify.sinks.mail import Mail
from lockstep.core.notify.sinks.pagerduty import PagerDuty
from lockstep.core.notify.sinks.webhook import Webhook

__all__ = ["Log", "Mail", "PagerDuty", "Webhook"]
