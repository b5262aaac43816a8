"""Prompt files: ``prompts/<name>.md`` beside the code.

TOML between two lines ``+++``, then the messages, each under a line ``# system``, ``# user`` or ``# assistant``::

    +++
    model = "openai:gpt-5-mini"
    variables = ["question", "passages"]

    [parameters]
    temperature = 0.2
    +++
    # system
    Answer from the passages only.

    # user
    {question}

Other headings are text; ``\\# user`` is the text ``# user``. ``[[tools]]`` and ``[output_schema]`` are tables too.
``<name>~<variant>.md`` holds another version of the same prompt, for a split.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps

from lockstep.prompts.body import ROLES, Body, Message
from lockstep.prompts.conf import settings
from lockstep.prompts.exceptions import FileError, TemplateError

__all__ = ["NAME", "PromptFile", "find", "find_all", "parse", "write"]

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.A)
_FRONT = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.S | re.M)
_HEADING = re.compile(rf"^# ({'|'.join(ROLES)})[ \t]*$", re.M)
_ESCAPED = re.compile(rf"^\\(\\*# (?:{'|'.join(ROLES)})[ \t]*)$", re.M)
_TO_ESCAPE = re.compile(rf"^(\\*# (?:{'|'.join(ROLES)})[ \t]*)$", re.M)
ESCAPE = r"\\\1"
_KEYS = ("model", "variables", "parameters", "tools", "output_schema")


@dataclass(frozen=True)
class PromptFile:
    name: str
    """Name of the prompt."""
    path: Path
    body: Body


def find_all() -> list[PromptFile]:
    """Every prompt file, by name.

    Raises:
        FileError: a file cannot be read, or two have one name.
    """
    found: dict[str, PromptFile] = {}
    for path in _paths():
        if path.stem in found:
            raise FileError(f"Two files hold {path.stem!r}: {found[path.stem].path} and {path}.")
        found[path.stem] = read(path)
    return [found[stem] for stem in sorted(found)]


def find(name: str) -> PromptFile | None:
    """The file of one prompt (not those of its variants)."""
    return next((read(path) for path in _paths() if path.stem == name), None)


def folders() -> list[Path]:
    given = [Path(folder) for folder in settings().folders]
    beside = [
        Path(config.path) / "prompts"
        for config in apps.get_app_configs()
        if config.label != "lockstep_prompts"
    ]
    # a package named prompts (this one, for one) is code, not a folder of files
    return given + [folder for folder in beside if folder.is_dir() and not (folder / "__init__.py").exists()]


def _paths() -> Iterator[Path]:
    for folder in folders():
        if not folder.is_dir():
            raise FileError(f'There is no folder {folder}, which LOCKSTEP["prompts"]["folders"] names.')
        yield from sorted(path for path in folder.glob("*.md") if path.stem != "README")


def read(path: Path) -> PromptFile:
    """One file.

    Raises:
        FileError: it names the file and what is wrong.
    """
    name, _, variant = path.stem.partition("~")
    if not NAME.fullmatch(name) or (variant and not NAME.fullmatch(variant)):
        raise FileError(
            f"{path}: {path.stem!r} is no name of a prompt: lower-case letters, digits, - _ and dots."
        )
    try:
        return PromptFile(name, path, parse(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}).") from None
    except TemplateError as error:
        raise FileError(f"{path}: {error}") from error


def parse(text: str) -> Body:
    """The content of a file. Line ends become ``\\n``; empty lines around a message do not count.

    Raises:
        TemplateError: what is wrong with it.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    front = _FRONT.match(text)
    if front is None and text.startswith("+++"):
        raise FileError("The front matter has no end: close it with a line +++.")
    head = _toml(front[1]) if front else {}
    if unknown := sorted(set(head) - set(_KEYS)):
        raise FileError(f"Unknown key {unknown[0]!r} in the front matter. Known: {', '.join(_KEYS)}.")
    parameters = head.get("parameters", {})
    if not isinstance(parameters, Mapping) or "model" in parameters:
        raise FileError("parameters must be a table; the model stands above it, as `model`.")
    if "model" in head:
        parameters = {**parameters, "model": head["model"]}
    return Body(
        messages=_messages(text[front.end() :] if front else text),
        variables=_variables(head.get("variables", [])),
        parameters=parameters,
        tools=head.get("tools", []),
        output_schema=head.get("output_schema"),
    )


def write(body: Body) -> str:
    """A file with this content: ``parse(write(body)).key == body.key`` where messages have no outer empty lines."""
    head = [f"model = {_value(body.model)}"] if body.model else []
    head.append(f"variables = {_value(list(body.variables))}")
    if body.tools:
        head.append(f"tools = {_value(body.tools)}")
    if body.output_schema is not None:
        head.append(f"output_schema = {_value(body.output_schema)}")
    if rest := {name: value for name, value in body.parameters.items() if name != "model"}:
        head += ["", "[parameters]", *(f"{_key(name)} = {_value(value)}" for name, value in rest.items())]
    parts = [f"# {message.role}\n{_TO_ESCAPE.sub(ESCAPE, message.text)}" for message in body.messages]
    return "+++\n" + "\n".join(head) + "\n+++\n" + "\n\n".join(parts) + "\n"


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"The front matter is no TOML: {error}.") from None


def _variables(given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise FileError('variables must be a list of names: variables = ["question"].')
    return tuple(given)


def _messages(text: str) -> tuple[Message, ...]:
    headings = list(_HEADING.finditer(text))
    before = text[: headings[0].start()] if headings else text
    if before.strip():
        raise FileError("Text before the first message: begin with a line '# system' or '# user'.")
    ends = [*(heading.start() for heading in headings[1:]), len(text)][: len(headings)]
    return tuple(
        Message(heading[1], _ESCAPED.sub(r"\1", text[heading.end() : end].strip("\n")))
        for heading, end in zip(headings, ends, strict=True)
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    """TOML on one line. null has no TOML: nobody can write it in a file."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if value is None:
        raise TemplateError("null cannot be written in a file.")
    return json.dumps(value).replace("\x7f", "\\u007f")
