"""State comes back from jsonb as it went in, or does not go in."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
import pytest
from django.db import connection
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph._internal._serde import build_serde_allowlist
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Interrupt, Send, interrupt
from pydantic import BaseModel, SecretStr

from lockstep.core.exceptions import LockstepError
from lockstep.workflows.codec import MAX_DEPTH, Codec, Serde
from lockstep.workflows.exceptions import Unreadable, Unstorable
from tests.testapp.models import Article
from tests.workflows import shop
from tests.workflows.state_values import same, values

GOLDEN = Path(__file__).with_name("golden_codec.json")
VALUES = values()
codec = Codec(types=shop.ALL)


def through_jsonb(text: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (%s::jsonb)::text", [text])
        return json.loads(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.parametrize("kind", VALUES)
def test_every_kind_comes_back_from_jsonb_as_it_went_in(kind):
    value = VALUES[kind]
    data = through_jsonb(codec.dumps({"state": value, "beside": 1}))
    assert same(codec.decode(data), {"state": value, "beside": 1})
    assert same(codec.decode(through_jsonb(json.dumps(codec.encode(value)))), value)


def test_encoding_leaves_the_value_alone_and_shares_nothing_with_it():
    value = {
        "a": [1, {"b": {}}],
        "c": HumanMessage("x", additional_kwargs={"k": [1]}),
        "d": HumanMessage("y"),
    }
    data = codec.encode(value)
    before = json.dumps(data)
    value["a"][1]["b"]["new"] = 1
    value["c"].additional_kwargs["k"].append(2)
    value["d"].additional_kwargs["new"] = 1
    assert json.dumps(data) == before


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats()
    | st.text(st.characters(codec=None) | st.sampled_from("\0\ud800\udfff$t\\u0"))
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=False)
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.fractions().map(float)
    | st.sampled_from([shop.Colour.RED, shop.Status.OPEN, shop.Rights.READ, shop.Level.LOW])
)
keys = st.text(max_size=4) | st.sampled_from(["$t", "v", "name", "content", "role", "zz", "ä", "a\0"])
odd_keys = keys | st.integers() | st.tuples(st.integers(), keys) | st.none() | st.sampled_from(shop.Status)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(keys, inner, max_size=5),
        st.dictionaries(odd_keys, inner, max_size=3),
        st.frozensets(st.text(max_size=3) | st.integers(), max_size=3),
        st.builds(shop.Box, inner),
        st.builds(shop.Point, st.integers(), inner),
        st.builds(lambda item: shop.Open(name="n", more=item), inner),
        st.builds(lambda item: ToolMessage("ok", tool_call_id="c", artifact=item), inner),
        st.builds(lambda item: Send("node", item), inner),
        st.builds(lambda item: Interrupt(item, id="i"), inner),
        st.builds(lambda item: Command(update={"z": item, "a": 1}), inner),
    ),
    max_leaves=12,
)


@pytest.mark.django_db
@settings(max_examples=400, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.data())
def test_any_tree_comes_back_from_a_live_jsonb(data):
    value = data.draw(trees)
    assert same(codec.decode(through_jsonb(codec.dumps(value))), value)


@pytest.mark.django_db
@settings(max_examples=200, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.dictionaries(keys, st.integers() | st.dictionaries(keys, st.integers())))
def test_a_restored_dict_renders_byte_for_byte(value):
    assert json.dumps(codec.decode(through_jsonb(codec.dumps(value)))) == json.dumps(value)


def test_keys_in_jsonbs_order_stay_a_plain_object():
    assert codec.encode({"b": 1, "id": 2, "name": "x"}) == {"b": 1, "id": 2, "name": "x"}
    assert codec.encode({"name": 1, "id": 2}) == {"$t": "dict", "v": ["name", 1, "id", 2]}


def test_an_enum_for_a_key_is_not_taken_for_the_text_that_it_equals():
    codec.encode({"open": 1})
    restored = codec.loads(codec.dumps({shop.Status.OPEN: 1}))
    assert type(next(iter(restored))) is shop.Status


def test_equal_sets_give_equal_json_in_every_process():
    program = (
        "from lockstep.workflows.codec import Codec; print(Codec().dumps({'pear', 'plum', 'fig', ('a', 1)}))"
    )
    env = {"PYTHONPATH": ":".join(sys.path)}
    written = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env=env | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(written) == 1


# Older rows


def test_rows_of_every_kind_that_were_written_earlier_are_read():
    golden = json.loads(GOLDEN.read_text())
    assert golden.keys() == VALUES.keys()
    for kind, data in golden.items():
        assert same(codec.decode(data), VALUES[kind]), kind


def test_the_form_of_a_kind_does_not_change_by_accident():
    """A new form gets a new name in the codec; the golden row of the old one stays, under a name of its own."""
    golden = json.loads(GOLDEN.read_text())
    ours = VALUES.keys() - {"messages", "chunks", "document", "delta snapshot"}  # LangChain may add a field
    assert {kind: codec.encode(VALUES[kind]) for kind in ours} == {kind: golden[kind] for kind in ours}


def test_a_field_that_the_class_gained_gets_its_default():
    data = codec.encode([shop.Line("a"), shop.Money(5), shop.Point(1, 2), shop.Refund(order_id=1)])
    for form in data:
        for part in ("v", "rest"):
            for gained in ("amount", "currency", "y", "lines", "note"):
                form.get(part, {}).pop(gained, None)
    line, money, point, refund = codec.decode(data)
    assert (line.amount, money.currency, point.y) == ((), "EUR", 0)
    assert (refund.lines, refund.note, refund.model_fields_set) == ([], None, {"order_id"})


@pytest.mark.parametrize("value", [shop.Line("a"), shop.Point(1), shop.Refund(order_id=1)])
def test_a_field_that_is_gone_or_newly_required_is_an_error(value):
    data = codec.encode(value)
    with pytest.raises(Unreadable, match="no field more any more"):
        codec.decode({**data, "v": {**data["v"], "more": 1}})
    with pytest.raises(Unreadable, match="without a default"):
        codec.decode({**data, "v": {}, "rest": {}})


# What is not kept


def generator():
    yield 1


def local_types():
    @dataclass
    class Here:
        x: int

    class Model(BaseModel):
        x: int

    return Here(1), Model(x=1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Article(pk=3), "primary key"),
        (Article.objects.all(), "list of primary keys"),
        (Article.objects, "primary keys"),
        (sys.stdout, "open file"),
        (threading.Lock(), "one process only"),
        (connection, "connection"),
        (len, "code"),
        (generator, "code"),
        (lambda: 1, "code"),
        (shop.Money, "code"),
        (json, "code"),
        (generator(), "list()"),
        (SecretStr("s3cret"), "secret"),
        (gettext_lazy("x"), "str()"),
        (local_types()[0], "inside a function"),
        (local_types()[1], "inside a function"),
        (shop.Odd(a=1), "convert it to a plain one"),
        (object(), "plain values"),
        (np.array([object()]), "convert it to a list"),
        (type("T", (dt.tzinfo,), {})(), "plain values"),
        (
            dt.datetime(2026, 1, 1, tzinfo=type("T", (dt.tzinfo,), {"utcoffset": lambda *a: None})()),
            "zoneinfo",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) else type(item).__name__,
)
def test_what_cannot_be_kept_is_named_with_its_place_and_what_to_do(value, said):
    state = {"messages": ["a", "b", "c", ToolMessage("x", tool_call_id="1", artifact={"file": [value]})]}
    with pytest.raises(Unstorable) as caught:
        codec.encode(state)
    assert caught.value.path == "state.messages[3].artifact.file[0]"
    assert str(caught.value).startswith("state.messages[3].artifact.file[0] (")
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert issubclass(Unstorable, LockstepError)
    assert issubclass(Unstorable, TypeError)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a b": {1: {(1, 2): len}}}, "writes['a b'][1][<tuple>]"),
        ([{1, len}], "writes[0].<element>"),
        ({"x": shop.Box(shop.Point(1, [len]))}, "writes.x.item.y[0]"),
        ({"x": shop.Open(name="n", more={"deep": len})}, "writes.x.more.deep"),
        ({"x": Send("n", {"a": len})}, "writes.x.arg.a"),
        (Interrupt(1, id="i", response_schema=shop.Refund), "writes.response_schema"),
        ({"x": deque([1, len])}, "writes.x[1]"),
        ({len: 1}, "writes[<builtin_function_or_method>]"),
    ],
)
def test_paths_read_as_a_person_would_write_them(value, path):
    with pytest.raises(Unstorable) as caught:
        codec.encode(value, name="writes")
    assert caught.value.path == path


def test_a_type_that_is_not_allowed_is_refused_with_the_line_to_add():
    with pytest.raises(Unstorable, match=r'state.total .*add "tests.workflows.shop.Money" to LOCKSTEP'):
        Codec().encode({"total": shop.Money(1)})


def test_a_type_is_allowed_by_its_name_its_class_or_langgraphs_pair():
    for entry in ("tests.workflows.shop.Money", shop.Money, ("tests.workflows.shop", "Money")):
        assert Codec(types=[entry]).loads(codec.dumps(shop.Money(1))) == shop.Money(1)
    nested = Codec(types=[("tests.workflows.shop", "Reason")])  # so LangGraph names a class inside a class
    row = nested.encode(shop.Refund.Reason(text="x"))
    assert nested.decode(row) == shop.Refund.Reason(text="x")
    with pytest.raises(Unreadable, match="another class"):
        nested.decode({**row, "name": "tests.workflows.shop:Alias.Reason"})


def test_allowing_more_gives_another_codec_and_allowing_nothing_new_the_same():
    less = Codec()
    more = less.allowing([shop.Money])
    assert more.loads(more.dumps(shop.Money(1))) == shop.Money(1)
    assert more.allowing([("tests.workflows.shop", "Money")]) is more
    with pytest.raises(Unstorable):
        less.encode(shop.Money(1))


class State(TypedDict, total=False):
    total: shop.Money
    refund: Annotated[shop.Refund | None, "x"]
    history: list[shop.Colour]


def test_types_that_langgraph_derives_from_a_schema_are_enough():
    derived = Codec().allowing(build_serde_allowlist(schemas=[State]))
    state = {
        "total": shop.Money(1),
        "refund": shop.Refund(order_id=1, lines=[shop.Line("a")]),
        "history": [shop.Colour.RED],
    }
    assert same(derived.loads(derived.dumps(state)), state)


@pytest.mark.parametrize(
    "build",
    [
        lambda: _circle({}, lambda outer: {"inner": [outer]}),
        lambda: _circle([], lambda outer: (outer,)),
        lambda: _circle(shop.Box(None), lambda outer: {"up": outer}),
    ],
)
def test_a_circle_is_named_and_does_not_end_the_process(build):
    with pytest.raises(Unstorable, match=r"^state\.a contains itself") as caught:
        codec.dumps({"a": build()})
    assert caught.value.path == "state.a"


def _circle(outer: Any, wrap: Any) -> Any:
    inner = wrap(outer)
    if isinstance(outer, dict):
        outer["x"] = inner
    elif isinstance(outer, list):
        outer.append(inner)
    else:
        outer.item = inner
    return outer


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: shop.Box(v)])
def test_depth_has_an_end_and_what_is_written_can_be_read(wrap):
    def nested(depth: int) -> Any:
        value = wrap(1)
        for _ in range(depth - 1):
            value = wrap(value)
        return value

    text = codec.dumps(nested(MAX_DEPTH - 1))
    assert codec.dumps(codec.loads(text)) == text
    with pytest.raises(Unstorable, match="nested deeper than"):
        codec.dumps(nested(10_000))


def test_hostile_depth_is_refused_on_the_way_back():
    with pytest.raises(Unreadable):
        codec.loads("[" * 100_000 + "]" * 100_000)
    data: Any = 1
    for _ in range(5_000):
        data = [data]
    with pytest.raises(Unreadable):
        codec.decode(data)


# What a row may not do


@pytest.mark.parametrize(
    "form",
    [
        {"$t": "pydantic", "name": "os.system", "v": {}},
        {"$t": "pydantic", "name": "os:system", "v": {}},
        {"$t": "object", "name": "antigravity:fly", "v": {}},
        {"$t": "dataclass", "name": "antigravity", "v": {}},
        {"$t": "enum", "name": "antigravity:Colour", "v": "red"},
        {"$t": "namedtuple", "name": "tests.workflows.shop:np.antigravity", "v": {}},
        {"$t": "namedtuple", "name": "antigravity:x.Money", "v": {}},
        {"$t": "enum", "name": "tests.workflows.shop:enum.Enum", "v": 1},
        {"$t": "enum", "name": "tests.workflows.shop:Text", "v": 1},
        {"$t": "enum", "name": "tests.workflows.shop:Money", "v": 1},
        {"$t": "pydantic", "name": "tests.workflows.shop:Money", "v": {"cents": 1}},
        {"$t": "dataclass", "name": "AIMessage", "v": {}},
        {"$t": "dataclass", "name": "tests.workflows.shop:Gone", "v": {}},
        {"$t": "dataclass", "name": ["os"], "v": {}},
        {"$t": "dataclass"},
        {"$t": "pickle", "v": "gASV"},
        {"$t": "datetime/9", "v": ""},
        {"$t": None},
        {"$t": {}, "name": "x"},
        {"$t": "tuple"},
        {"$t": "tuple", "v": 7},
        {"$t": "dict", "v": ["odd"]},
        {"$t": "dict", "v": [[], 1]},
        {"$t": "set", "v": [[]]},
        {"$t": "bytes", "v": "%%%"},
        {"$t": "zoneinfo", "v": "../../etc/passwd"},
        {"$t": "datetime", "v": "s3cret"},
        {"$t": "enum", "name": "tests.workflows.shop:Colour", "v": "s3cret"},
        {"$t": "numpy.array", "dtype": "<U1", "shape": [1], "v": "QQAAAA=="},
        {"$t": "numpy.array", "dtype": "|O8", "shape": [1], "v": "AAAAAAAAAAA="},
    ],
    ids=str,
)
def test_a_hostile_or_damaged_row_is_refused_and_imports_nothing(form):
    gone = Codec(types=[*shop.ALL, "tests.workflows.shop.Gone"])
    before = set(sys.modules)
    with pytest.raises(Unreadable) as caught:
        gone.decode({"a": [form]})
    assert set(sys.modules) == before
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, ImportError | AttributeError)


def test_no_hostile_name_is_even_looked_for(monkeypatch):
    asked = []
    monkeypatch.setattr("lockstep.workflows.codec.codec.import_module", lambda name: asked.append(name))
    for name in ("os:system", "os.path:join", "subprocess:Popen", ":", "a", "tests.workflows:shop.Secrets"):
        with pytest.raises(Unreadable):
            codec.decode({"$t": "dataclass", "name": name, "v": {}})
    assert asked == []


kinds = st.sampled_from(
    ["tuple", "dict", "pydantic", "AIMessage", "Send", "object", "datetime", "pattern", "enum", "set"]
)
parts = st.sampled_from(["$t", "v", "name", "zone", "rest", "more", "flags", "order", "a"])
rows = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | kinds,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner | kinds, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(rows)
def test_whatever_stands_in_a_row_gives_a_value_or_unreadable(data):
    with contextlib.suppress(Unreadable):
        codec.decode(data)


# What comes back plainer


def test_text_of_other_classes_comes_back_as_text_and_errors_as_their_repr():
    text = AIMessage("hello").text
    value = [mark_safe("<b>"), shop.Text("x"), text, {shop.Text("k"): 1}, ValueError("no \0 order")]
    assert same(
        codec.loads(codec.dumps(value)), ["<b>", "x", "hello", {"k": 1}, "ValueError('no \\x00 order')"]
    )


def test_an_error_that_cannot_be_shown_is_named():
    class Mute(Exception):
        def __repr__(self) -> str:
            raise RuntimeError

    assert codec.encode(Mute()).endswith("Mute()")


# As LangGraph uses it


class Chat(TypedDict, total=False):
    order: dict[str, int]
    total: shop.Money
    seen: tuple[int, ...]
    answer: str


def test_a_graph_pauses_and_goes_on_over_the_serializer():
    def price(state: Chat) -> Chat:
        return {
            "total": shop.Money(sum(state["order"].values())),
            "seen": (1, 2),
            "order": {"zeta": 2, "a": 1},
        }

    def ask(state: Chat) -> Chat:
        return {
            "answer": f"{interrupt({'total': state['total'], 'at': (1,)})} {state['seen']} {[*state['order']]}"
        }

    builder = StateGraph(Chat).add_node("price", price).add_node("ask", ask)
    builder.add_edge(START, "price").add_edge("price", "ask").add_edge("ask", END)
    serde = Serde(codec)
    assert isinstance(serde, SerializerProtocol)
    graph = builder.compile(checkpointer=InMemorySaver(serde=serde))
    config = {"configurable": {"thread_id": "1"}}
    paused = graph.invoke({"order": {"b": 1, "a": 2}}, config)
    assert paused["__interrupt__"][0].value == {"total": shop.Money(3), "at": (1,)}
    assert graph.invoke(Command(resume="yes"), config)["answer"] == "yes (1, 2) ['zeta', 'a']"
    assert graph.get_state(config).values["total"] == shop.Money(3)


def test_a_graph_whose_state_cannot_be_kept_stops():
    builder = StateGraph(Chat).add_node("n", lambda state: {"answer": threading.Lock()}).add_edge(START, "n")
    graph = builder.compile(checkpointer=InMemorySaver(serde=Serde(codec)))
    with pytest.raises(Unstorable, match="one process only"):
        graph.invoke({"order": {}}, {"configurable": {"thread_id": "2"}})


def test_what_another_serializer_wrote_is_not_guessed():
    with pytest.raises(Unreadable, match="another serializer"):
        Serde().loads_typed(("msgpack", b"\x80"))
    with pytest.raises(Unreadable, match="no JSON"):
        Serde().loads_typed(("lockstep", b"{"))


def test_serializers_allow_more_types_as_codecs_do():
    serde = Serde()
    more = serde.allowing([shop.Money])
    assert more.loads_typed(more.dumps_typed(shop.Money(1))) == shop.Money(1)
    assert more.allowing([shop.Money]) is more


def test_threads_share_a_codec():
    shared = Codec(types=shop.ALL)
    wanted = codec.dumps(VALUES["dataclass"])
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: shared.dumps(VALUES["dataclass"]), range(200))) == {wanted}
