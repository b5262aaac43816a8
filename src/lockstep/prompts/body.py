"""What a version says: messages with holes, variables, parameters, tools and the schema of the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lockstep.llm.hooks import Rendered
from lockstep.prompts import templates
from lockstep.prompts.canonical import canonical, digest
from lockstep.prompts.exceptions import TemplateError, VariableError
from lockstep.prompts.values import text_of

__all__ = ["MAX_BYTES", "ROLES", "Body", "Message"]

ROLES = ("system", "user", "assistant")
MAX_BYTES = 8_000_000
"""Bytes of the canonical text of one version."""


@dataclass(frozen=True)
class Message:
    role: str
    text: str

    @property
    def pieces(self) -> tuple[tuple[bool, str], ...]:
        """``(is a variable, text or name)`` in order."""
        return templates.parse(self.text)


@dataclass(frozen=True)
class Body:
    """The content that the address is computed from.

    Raises:
        TemplateError: a role, a variable or a template is wrong.
    """

    messages: tuple[Message, ...]
    variables: tuple[str, ...] = ()
    """Declared names, sorted. One may be declared and not used, so that versions with other needs can share a call."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """For the model, ``model`` among them: the ``provider:name`` used where the release names none."""
    tools: Sequence[Mapping[str, Any]] = ()
    output_schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(sorted(self.variables)))
        if not isinstance(self.tools, str):
            object.__setattr__(self, "tools", tuple(self.tools))
        _check_messages(self.messages)
        _check_variables(self.variables, self.messages)
        _check_shapes(self.parameters, self.tools, self.output_schema)
        if len(self.canonical.encode()) > MAX_BYTES:
            raise TemplateError(f"The prompt is larger than {MAX_BYTES:,} bytes.")

    @cached_property
    def canonical(self) -> str:
        messages = [{"role": message.role, "text": message.text} for message in self.messages]
        return canonical(
            {
                "messages": messages,
                "output_schema": self.output_schema,
                "parameters": self.parameters,
                "tools": list(self.tools),
                "variables": list(self.variables),
            }
        )

    @cached_property
    def key(self) -> str:
        return digest(self.canonical)

    @property
    def model(self) -> str:
        return str(self.parameters.get("model", ""))

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """The messages with their holes filled.

        Raises:
            VariableError: names are missing or extra, or a value has no text.
        """
        missing = tuple(sorted(set(self.variables) - set(variables)))
        extra = tuple(sorted(set(map(str, variables)) - set(self.variables)))
        if missing or extra:
            raise VariableError(_difference(missing, extra), missing=missing, extra=extra)
        values = {name: text_of(variables[name], name) for name in self.variables}
        return Rendered(
            messages=[(message.role, templates.fill(message.text, values)) for message in self.messages],
            parameters={name: value for name, value in self.parameters.items() if name != "model"},
            tools=[dict(tool) for tool in self.tools],
            output_schema=dict(self.output_schema) if self.output_schema is not None else None,
        )

    @classmethod
    def read(cls, text: str) -> Body:
        """The body whose canonical text this is."""
        value = json.loads(text)
        return cls(
            messages=tuple(Message(**message) for message in value["messages"]),
            variables=tuple(value["variables"]),
            parameters=value["parameters"],
            tools=value["tools"],
            output_schema=value["output_schema"],
        )


def _difference(missing: Sequence[str], extra: Sequence[str]) -> str:
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"not declared: {', '.join(extra)}"] if extra else []
    return f"The variables do not fit the prompt ({'; '.join(parts)})."


def _check_messages(messages: Sequence[Message]) -> None:
    if not messages:
        raise TemplateError("A prompt needs at least one message.")
    for message in messages:
        if message.role not in ROLES:
            raise TemplateError(f"{message.role!r} is no role: take one of {', '.join(ROLES)}.")
        if not message.text.strip():
            raise TemplateError(f"The {message.role} message is empty.")


def _check_variables(variables: Sequence[str], messages: Sequence[Message]) -> None:
    for name in variables:
        if not isinstance(name, str) or not templates.NAME.fullmatch(name):
            raise TemplateError(f"{name!r} is no name of a variable: lower-case letters, digits and _.")
    if len(set(variables)) < len(variables):
        raise TemplateError("A variable is declared twice.")
    used = {name for message in messages for name in templates.names(message.text)}
    if unknown := sorted(used - set(variables)):
        raise TemplateError(f"Used but not declared: {', '.join(unknown)}. Declare them in `variables`.")


def _check_shapes(parameters: Any, tools: Any, output_schema: Any) -> None:
    if not isinstance(parameters, Mapping):
        raise TemplateError("parameters must be a table.")
    if not isinstance(parameters.get("model", ""), str):
        raise TemplateError("The model must be a string like 'openai:gpt-5-mini'.")
    if isinstance(tools, str) or not all(isinstance(tool, Mapping) for tool in tools):
        raise TemplateError("tools must be a list of tables.")
    if output_schema is not None and not isinstance(output_schema, Mapping):
        raise TemplateError("output_schema must be a table.")
