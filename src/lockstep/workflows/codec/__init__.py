"""Graph state as JSON that jsonb keeps exactly.

Raw JSON loses tuples, sets, times, key order (jsonb sorts keys), ``1e16`` (jsonb makes it an int) and more. What
JSON and jsonb keep as it is stays as it is; anything else becomes ``{"$t": kind, "v": ...}``, and a dict that looks
like that itself becomes one too. A kind whose form changes gets a new name (``"datetime/2"``) beside the old one,
which stays readable.

Classes are kept by name, and only those that are allowed: LangGraph's and LangChain's own, and the ones that a project
names. Nothing is imported because a row says so.
"""

from lockstep.workflows.codec.codec import MAX_DEPTH, Codec
from lockstep.workflows.codec.serde import Serde

__all__ = ["MAX_DEPTH", "Codec", "Serde"]
