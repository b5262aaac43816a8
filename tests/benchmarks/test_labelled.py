"""Labelled texts: what is read, what is refused, how findings are counted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.exceptions import MalformedData
from benchmarks.labelled import load, score, uncovered


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "docs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def row(text: str, *spans: tuple[int, int, str], **more: Any) -> dict[str, Any]:
    found = [{"start": start, "end": end, "type": kind} for start, end, kind in spans]
    return {"_id": "1", "text": text, "spans": found, **more}


def finding(start: int, end: int, kind: str) -> SimpleNamespace:
    return SimpleNamespace(start=start, end=end, type=kind)


def test_types_that_nobody_knows_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MalformedData, match=r"does not know: MOON_PHASE, STAR\."):
        load(written(tmp_path, row("abc", (0, 1, "STAR"), (1, 2, "MOON_PHASE"))))


@pytest.mark.parametrize("bad", [{"text": "a"}, row("abc", (2, 9, "UK_NHS")), row("abc", (2, 2, "UK_NHS"))])
def test_a_line_of_another_layout_is_refused_by_its_number(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(MalformedData, match=r"docs\.jsonl:1"):
        load(written(tmp_path, bad))


def test_labels_and_findings_are_counted_by_type(tmp_path: Path) -> None:
    text = row("0123456789", (0, 3, "UK_NHS"), (4, 6, "EMAIL_ADDRESS"), (7, 9, "PERSON"))
    texts = load(written(tmp_path, text))
    found = [finding(0, 2, "NHS"), finding(4, 6, "PHONE")]
    tallies = {kind: tally.figures() for kind, tally in score(texts, [found]).items()}
    assert (tallies["NHS"]["recall"], tallies["NHS"]["precision"], tallies["NHS"]["gone"]) == (1.0, 1.0, 0.0)
    assert (tallies["EMAIL"]["recall"], tallies["EMAIL"]["gone"]) == (0.0, 1.0)
    assert tallies["PHONE"]["precision"] == 0.0
    assert uncovered(texts) == {"PERSON": 1}


def test_where_only_some_types_were_labelled_the_others_are_not_counted(tmp_path: Path) -> None:
    texts = load(written(tmp_path, row("0123456789", entity_types=["UK_NHS"])))
    assert set(score(texts, [[finding(0, 2, "NHS"), finding(4, 6, "PHONE")]])) == {"NHS"}
