"""The codec as LangGraph asks for a serializer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lockstep.workflows.codec.codec import Codec
from lockstep.workflows.exceptions import Unreadable

__all__ = ["Serde"]

TAG = "lockstep"


class Serde:
    """LangGraph's ``SerializerProtocol`` over a codec: ``BaseCheckpointSaver(serde=Serde(codec))``."""

    def __init__(self, codec: Codec | None = None) -> None:
        self.codec = codec or Codec()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return TAG, self.codec.dumps(obj).encode()

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        tag, content = data
        if tag != TAG:
            raise Unreadable(
                f"This was written by another serializer ({tag!r}). Read it with that one, and write it again.",
                kind=tag,
            )
        return self.codec.loads(content)

    def allowing(self, types: Iterable[Any]) -> Serde:
        """A serializer that allows these types too; itself if it does already."""
        codec = self.codec.allowing(types)
        return self if codec is self.codec else Serde(codec)
