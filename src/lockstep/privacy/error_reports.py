"""Django's reports of errors (the mails to ADMINS with ``include_html``, its debug page) without what was said::

DEFAULT_EXCEPTION_REPORTER_FILTER = "lockstep.privacy.error_reports.Filter"
"""

from __future__ import annotations

from types import FrameType
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

__all__ = ["PACKAGES", "Filter"]

PACKAGES = frozenset(
    ["anthropic", "httpcore", "httpcore2", "httpx", "httpx2", "langchain", "langchain_anthropic", "langchain_core",
     "langchain_openai", "langgraph", "lockstep", "openai", "pydantic"]
)  # fmt: skip
"""Through their frames goes what is said to models, whatever their variables are called."""


class Filter(SafeExceptionReporterFilter):
    """Shows no value of a variable in the frames of ``PACKAGES``, with DEBUG too.

    A view's own variables are its own: ``@sensitive_variables("question")`` hides them.
    """

    def get_traceback_frame_variables(self, request: Any, tb_frame: FrameType) -> Any:
        package = str(tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in PACKAGES:
            return [(name, self.cleansed_substitute) for name in tb_frame.f_locals]
        return super().get_traceback_frame_variables(request, tb_frame)
