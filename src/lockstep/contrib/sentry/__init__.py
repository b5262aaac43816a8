"""Sentry without what people write to models, or get from them::

    sentry_sdk.init(**init_options(dsn=…, traces_sample_rate=0.1))

Nothing here imports ``sentry_sdk``: the hooks take and give plain dicts.
"""

from lockstep.contrib.sentry.hooks import (
    HOOKS,
    Scrubber,
    before_breadcrumb,
    before_send,
    before_send_log,
    before_send_metric,
    before_send_span,
    before_send_transaction,
    init_options,
)
from lockstep.contrib.sentry.texts import WITHHELD

__all__ = [
    "HOOKS",
    "WITHHELD",
    "Scrubber",
    "before_breadcrumb",
    "before_send",
    "before_send_log",
    "before_send_metric",
    "before_send_span",
    "before_send_transaction",
    "init_options",
]
