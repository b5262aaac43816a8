"""Bulk loads and ``lockstep_reembed`` stream: four times the rows need no more memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection

from tests.processes import run
from tests.search.oracle import attached
from tests.search.workers import environment, load_and_measure, reembed_and_measure
from tests.testapp.models import Article, Note

pytestmark = pytest.mark.usefixtures("transactional_db")

FEW, MANY = 1_000, 4_000
AT_MOST = 1.15
"""Peak of four times the rows in peaks of the few: a list of the rows alone would be far above."""


def peak(work: object, rows: int, folder: Path) -> float:
    """Largest number of bytes that Python objects held in a process of its own."""
    file, output = folder / f"{rows}.json", folder / f"{rows}.txt"
    assert run(work, rows, file, environment=environment(), output=output) == 0, output.read_text()  # type: ignore[arg-type]
    found: float = json.loads(file.read_text())
    return found


@pytest.mark.slow
def test_the_memory_of_a_bulk_load_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    few, many = (peak(load_and_measure, rows, tmp_path) for rows in (FEW, MANY))
    assert attached(Article.search) == FEW + MANY
    assert many / few < AT_MOST


@pytest.mark.slow
def test_the_memory_of_reembed_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (FEW, MANY):
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM testapp_note")
            cursor.execute(
                "INSERT INTO testapp_note (id, text, codes) SELECT gen_random_uuid(),"
                " 'note ' || i || repeat(' of words', 20), '{}' FROM generate_series(1, %s) i",
                [rows],
            )
        peaks.append(peak(reembed_and_measure, rows, tmp_path))
        assert attached(Note.search) == rows
    assert peaks[1] / peaks[0] < AT_MOST
