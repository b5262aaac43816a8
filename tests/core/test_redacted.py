"""A plain value cannot become one by accident."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from lockstep.core.exceptions import NotRedacted
from lockstep.core.redacted import SEAL, Redacted, Seal, demand

MADE = Redacted("[NHS_1]", seal=SEAL, counts={"NHS": 1}, policy="redact", version="pack:1")


def test_only_a_redactor_makes_one() -> None:
    for seal in (None, Seal(), object()):
        with pytest.raises(NotRedacted):
            Redacted("943 476 5919", seal=seal)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["[NHS_1]", f"{MADE}", str(MADE), repr(MADE), b"", None, {"text": MADE}])
def test_a_sink_refuses_everything_else(value: Any) -> None:
    with pytest.raises(NotRedacted):
        demand(value)
    assert demand(MADE) is MADE


def test_nothing_of_it_can_be_changed() -> None:
    with pytest.raises(AttributeError):
        MADE.text = "943 476 5919"
    with pytest.raises(AttributeError):
        del MADE.text
    with pytest.raises(TypeError):
        MADE.counts["NHS"] = 0  # type: ignore[index]
    with pytest.raises(TypeError):
        type("Mine", (Redacted,), {})
    with pytest.raises(TypeError):
        pickle.dumps(MADE)
    assert copy.deepcopy(MADE) is copy.copy(MADE) is MADE


def test_it_does_not_join_with_plain_text() -> None:
    with pytest.raises(TypeError):
        MADE + "943 476 5919"  # type: ignore[operator]


def test_its_representation_has_no_content() -> None:
    assert repr(MADE) == "<Redacted 7 characters, redact: NHS 1>"
    assert str(MADE) == "[NHS_1]"


def test_a_structure_comes_out_afresh_each_time() -> None:
    made = Redacted(json.dumps({"a": [1]}), seal=SEAL, is_json=True)
    made.data["a"].append(2)
    assert made.data == {"a": [1]}
