"""One door to every model, one row a call. ``feature`` may be imported before Django is set up."""

from lockstep.llm.declaration import Feature, feature
from lockstep.llm.reply import Reply, Stream, report_outcome

__all__ = ["Feature", "Reply", "Stream", "feature", "report_outcome"]
