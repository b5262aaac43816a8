"""What a replay found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Checked", "Heard", "Report"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model said then, and what it says now."""

    model: str
    """``provider:name`` that was asked now."""
    then: str | None
    """None: nothing is noted of it."""
    now: str


@dataclass(frozen=True, slots=True)
class Checked:
    """One node that was run again, or the state that a transition made."""

    kind: str
    """``node``, ``input`` of a subgraph, or ``state``."""
    node: str
    """Its name; of a state those of the nodes that wrote it."""
    step: int | None
    ns: str
    """Namespace of the subgraph; empty for the graph itself."""
    then: str
    """What came of it when the run worked: the SHA-256 of what it wrote, the kind of its error, or ``waiting``."""
    now: str
    """The same of the replay; empty where it did not come to an end."""
    same: bool
    why: str = ""
    """What differs."""
    heard: Sequence[Heard] = ()
    """Of a replay with live models: what they said."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was checked, in the order of the run."""

    run: str
    workflow: str
    version: str
    mode: str
    """``recorded``, ``live-model``, or ``structure``: of a redacted copy only the shape can be checked."""
    status: str
    """How the run ended, or how far it is."""
    checked: Sequence[Checked] = field(default_factory=tuple)

    @property
    def same(self) -> bool:
        """Nothing differs."""
        return self.first is None

    @property
    def first(self) -> Checked | None:
        """The first thing that differs; None: nothing does."""
        return next((one for one in self.checked if not one.same), None)

    @property
    def verdict(self) -> str:
        """In a sentence."""
        first = self.first
        if first is not None:
            return f"The first difference is {_place(first)}: {first.why}."
        if not self.checked:
            return "Nothing of the run can be checked yet: none of its nodes has come to an end."
        nodes = sum(one.kind == "node" for one in self.checked)
        told = "1 node" if nodes == 1 else f"{nodes} nodes"
        if self.mode == "structure":
            return f"{told} and all transitions fit the graph. The copy is redacted: what nodes do cannot be checked."
        return f"{told} came to the same."

    def as_json(self) -> dict[str, Any]:
        """Plain, for programs."""
        first = self.first
        return {
            **asdict(self),
            "same": self.same,
            "first": asdict(first) if first else None,
            "verdict": self.verdict,
        }


def _place(one: Checked) -> str:
    what = {"node": "node", "state": "the state after", "input": "the input of"}[one.kind]
    within = f" within {one.ns.split('|')[0].split(':')[0]}" if one.ns and one.kind != "input" else ""
    return f"{what} {one.node!r}{within}, step {one.step}"
