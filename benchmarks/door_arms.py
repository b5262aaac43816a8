"""One arm of ``bin/bench door`` in a process of its own: ``python -m benchmarks.door_arms ARM``.

Once warm it writes one line of JSON with what there is to say of it. Then it reads the number of calls of each turn
from standard input, and writes one line for it: processor time of all threads of this process, and the wall time of
each call. A process of its own, so that whatever an arm leaves to background threads is counted, and counted as its
own. Each arm imports its own library only; LiteLLM lives in another environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

URL = "LOCKSTEP_BENCH_CHAT_URL"
MODEL = "local"
WARM = 10
"""Calls before anything is measured."""
PROMPT = "bench-support"
QUESTION = "How do I reset it?"
PASSAGES = "\n\n".join(
    f"[{number}] The speaker has a blue button at its back, a ring of light and a socket for power. "
    f"Hold the button for ten seconds to reset it; chapter {number} says what the colours mean. "
    "Names of networks that it knew before are forgotten then, and so are its alarms. "
    "If the ring stays red, unplug it for a minute. It needs no tools and no account."
    for number in range(1, 7)
)
"""1.9 kB, as much as a question with a few retrieved passages has."""
MESSAGES = [
    {"role": "system", "content": f"Answer from these passages only.\n\n{PASSAGES}"},
    {"role": "user", "content": QUESTION},
]


@dataclass
class Arm:
    """What a turn calls, and what has to hold afterwards."""

    ask: Callable[[], Any]
    check: Callable[[Any], None] = lambda answer: None
    """Called outside of what is measured, before the next call."""
    facts: Callable[[], dict[str, Any]] = dict
    """What else there is to say of it, found out before anything is measured."""


def raw_openai(url: str) -> Arm:
    import openai

    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    return Arm(lambda: client.chat.completions.create(model=MODEL, messages=MESSAGES))  # type: ignore[arg-type]


def langchain(url: str) -> Arm:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL, base_url=url, api_key="none", max_retries=0)  # type: ignore[arg-type]
    return Arm(lambda: model.invoke(MESSAGES))


def litellm(url: str) -> Arm:
    """Without any logging, and without the price list that it would download at import."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True

    def ask() -> Any:
        return litellm.completion(
            model=f"openai/{MODEL}", messages=MESSAGES, api_base=url, api_key="none", num_retries=0
        )

    return Arm(ask)


def lockstep(url: str) -> Arm:
    """A feature with an owner, asked on behalf of a person: price, ledger, a budget of the day, and request and answer
    kept without findings; both commits included."""
    return asked_by_a_person("bench.support", kept=True)


def lockstep_ledger(url: str) -> Arm:
    """The same without a budget, and nothing is kept of the words."""
    return asked_by_a_person("bench.ledger", kept=False)


def asked_by_a_person(name: str, *, kept: bool) -> Arm:
    import django

    django.setup()
    from lockstep.llm import feature

    support = feature(
        name,
        owner="bench@example.com",
        model=f"local:{MODEL}",
        data_class="internal" if kept else "personal",
    )

    def ask() -> Any:
        return support.invoke(MESSAGES, user=7)

    return Arm(ask, settled(kept=kept), lambda: {"round_trips": round_trips(ask)})


def lockstep_prompt(url: str) -> Arm:
    """The same words, but from a released prompt and its variables: the version of each person's arm is looked up,
    its holes are filled, and what they came to is reserved."""
    import django

    django.setup()
    from lockstep.llm import feature

    support = feature("bench.prompted", owner="bench@example.com", model=f"local:{MODEL}", prompt=PROMPT)
    people = cycle(range(50))

    def ask() -> Any:
        return support.invoke({"passages": PASSAGES, "question": QUESTION}, user=next(people))

    return Arm(ask, settled(PROMPT, kept=True), lambda: {"round_trips": round_trips(ask)})


ARMS = {
    "raw_openai": raw_openai,
    "langchain": langchain,
    "litellm": litellm,
    "lockstep": lockstep,
    "lockstep_ledger": lockstep_ledger,
    "lockstep_prompt": lockstep_prompt,
}


def settled(prompt: str = "", *, kept: bool) -> Callable[[Any], None]:
    """Looks at the row of a reply from a connection that has nothing to do with the door's.

    Args:
        kept: whether its words must be kept, and a budget hold or count it; otherwise neither must be.

    Raises:
        AssertionError: it is not there yet, is not settled, has no cost, or not the prompt with a version.
    """
    import psycopg

    other = psycopg.connect(os.environ["LOCKSTEP_BENCH_DATABASE_URL"], autocommit=True)
    row = (
        "SELECT state, outcome, cost_micros, input_tokens, prompt, prompt_version <> '', (SELECT p.response <> ''"
        " AND length(p.request) > 1900 FROM lockstep_privacy_payload AS p WHERE p.call = c.id),"
        " EXISTS (SELECT FROM lockstep_budgets_budget AS b WHERE b.feature = c.feature)"
        " FROM lockstep_llm_call AS c WHERE id = %s"
    )

    def check(reply: Any) -> None:
        found = other.execute(row, [reply.call]).fetchone()
        if (
            found != ("settled", "ok", reply.cost_micros, 460, prompt, bool(prompt), kept or None, kept)
            or reply.cost_micros is None
        ):
            raise AssertionError(f"the row of call {reply.call} was {found} when invoke returned")

    return check


def round_trips(ask: Callable[[], Any], calls: int = 20) -> float:
    """How often a call waits for PostgreSQL."""
    import psycopg

    waited, original = [], psycopg.Connection.wait

    def wait(connection: Any, steps: Any, *args: Any, **more: Any) -> Any:
        return original(connection, noted(steps), *args, **more)

    def noted(steps: Any) -> Any:
        """psycopg's protocol steps yield each time they have to wait for the socket."""
        waits = False
        try:
            wanted = next(steps)
            while True:
                waits = True
                wanted = steps.send((yield wanted))
        except StopIteration as end:
            waited.append(waits)
            return end.value

    psycopg.Connection.wait = wait  # type: ignore[method-assign,assignment]
    try:
        for _ in range(calls):
            ask()
    finally:
        psycopg.Connection.wait = original  # type: ignore[method-assign]
    return sum(waited) / calls


def turns(arm: Arm, asked: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Calls in turns. Processor time runs on between them, so that what is left to other threads is counted too; what
    checking took is taken off."""
    since = time.process_time()
    for calls in map(int, asked):
        walls, checking = [], 0.0
        for _ in range(calls):
            started = time.perf_counter()
            answer = arm.ask()
            walls.append((time.perf_counter() - started) * 1000)
            before = time.process_time()
            arm.check(answer)
            checking += time.process_time() - before
        now = time.process_time()
        yield {"cpu_ms": (now - since - checking) * 1000 / calls, "wall_ms": walls}
        since = time.process_time()


def main() -> None:
    arm = ARMS[sys.argv[1]](os.environ[URL])
    for _ in range(WARM):
        arm.check(arm.ask())
    print(json.dumps(arm.facts()), flush=True)
    for turn in turns(arm, sys.stdin):
        print(json.dumps(turn), flush=True)


if __name__ == "__main__":
    main()
