"""Erasing beside calls, holds and other erasures; killed in the middle; in two databases at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import Error, connection, connections
from django.db.models import QuerySet

from lockstep.budgets.models import Budget, BudgetPeriod
from lockstep.budgets.reports import drift, sweep
from lockstep.core.ports import Subject
from lockstep.core.pseudonyms import pseudonym
from lockstep.llm.ledger import _asked
from lockstep.llm.models import Call
from lockstep.privacy.exceptions import RightsError
from lockstep.privacy.models import Payload, Receipt
from lockstep.privacy.rights import erase
from tests.budgets.calls import call
from tests.people.models import Customer, Line, Order, Visit
from tests.privacy import erasers
from tests.privacy.people import SHOP, WHO, registered, shopper
from tests.privacy.rows import kept
from tests.privacy.sessions import together
from tests.privacy.test_concurrency import session
from tests.processes import run, start
from tests.search.workers import environment

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def waiting() -> Iterator[psycopg.Connection[Any]]:
    """A session that keeps the customer's row, which an erasure comes to last, so that it waits in the middle."""
    shopper("c-1", orders=2)
    kept(subject=pseudonym("c-1"))
    with session() as link, link.transaction():
        link.execute("SELECT FROM people_customer WHERE number = 'c-1' FOR UPDATE")
        yield link


def until_it_waits(table: str) -> None:
    ends = time.monotonic() + 20
    with connection.cursor() as cursor:
        while time.monotonic() < ends:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
                " AND pid <> pg_backend_pid() AND datname = current_database()",
                [f"%{table}%"],
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_an_erasure_that_is_killed_in_the_middle_has_done_nothing(waiting: Any, tmp_path: Path) -> None:
    process = start(erasers.erase_once, "c-1", environment=environment(), output=tmp_path / "out.txt")
    until_it_waits("people_customer")
    process.kill()
    process.join()
    assert "done" not in (tmp_path / "out.txt").read_text()
    assert Payload.objects.count() == 1
    assert set(QuerySet(Order).values_list("address", flat=True)) == {"street of c-1"}
    assert set(Line.objects.values_list("engraving", flat=True)) == {"for c-1"}
    assert not Receipt.objects.exists()


def test_what_was_killed_can_be_done_again(tmp_path: Path) -> None:
    shopper("c-1", orders=2)
    assert run(erasers.erase_once, "c-1", environment=environment(), output=tmp_path / "out.txt") == 0
    assert not Customer.objects.exists()
    assert Receipt.objects.get().total("blanked") == 4


def test_of_several_at_once_one_finds_everything_and_the_others_nothing() -> None:
    shopper("c-1", orders=20)
    for _ in range(5):
        kept(subject=pseudonym("c-1"))

    def work() -> Receipt:
        try:
            return erase("c-1", **WHO)
        finally:
            connection.close()

    with registered():
        receipts = together([work] * 4)
    assert all(isinstance(receipt, Receipt) for receipt in receipts), receipts
    assert sorted(receipt.counts["people.Customer"]["erased"] for receipt in receipts) == [0, 0, 0, 1]
    assert sum(receipt.counts["lockstep_privacy.Payload"]["erased"] for receipt in receipts) == 5
    assert not Customer.objects.exists()


def test_a_call_that_begins_at_the_same_time_is_erased_with_its_counter(tmp_path: Path) -> None:
    """It is neither counted without a person in the ledger, nor in the ledger without a counter."""
    Budget.objects.create(unit="tokens", cap=10**6, period="day", per="user")
    asked = call(user_key=pseudonym("ann"))
    with session() as caller:
        with caller.transaction():
            caller.execute("SELECT lockstep_llm_begin_v1(%s::jsonb)", [_asked(asked)])
            process = start(erasers.erase_once, "ann", environment=environment(), output=tmp_path / "out.txt")
            until_it_waits("advisory")
        process.join(30)
    assert process.exitcode == 0, (tmp_path / "out.txt").read_text()
    assert Call.objects.get().user_key == ""
    assert not BudgetPeriod.objects.exists()
    assert list(drift()) == []


def test_calls_go_on_while_their_person_is_erased_and_no_counter_drifts(tmp_path: Path) -> None:
    everybody = {"unit": "tokens", "cap": 10**12, "period": "day"}
    for more in ({}, {"per": "user"}, {"per": "user", "period": "month", "feature": "support.answer"}):
        Budget.objects.create(**{**everybody, **more})
    people = (pseudonym("ann"), pseudonym("bob"))
    callers = [
        start(erasers.call_on, seed, people, 8.0, environment=environment(), output=tmp_path / f"{seed}.txt")
        for seed in range(3)
    ]
    erased = 0
    while any(process.is_alive() for process in callers):
        erased += erase("ann", **WHO).counts["lockstep_llm.Call"]["blanked"]
        assert list(drift()) == []
    output = "".join(file.read_text() for file in tmp_path.iterdir())
    assert [process.exitcode for process in callers] == [0] * 3, output
    assert erased > 3
    assert Call.objects.filter(user_key=people[1]).exists()
    erase("ann", **WHO)
    sweep()
    assert list(drift()) == []
    assert not Call.objects.filter(user_key=people[0]).exists()
    assert not BudgetPeriod.objects.filter(who=people[0]).exists()
    assert not BudgetPeriod.objects.exclude(reserved=0).exists()


def test_a_hold_that_comes_in_between_is_kept_to(tmp_path: Path) -> None:
    shopper("c-1")
    held, _ = (kept(subject=pseudonym("c-1")) for _ in range(2))
    with session() as reader, session() as lawyer:
        with reader.transaction():
            reader.execute("SELECT FROM lockstep_privacy_payload WHERE call = %s FOR UPDATE", [held])
            process = start(erasers.erase_once, "c-1", environment=environment(), output=tmp_path / "out.txt")
            until_it_waits("lockstep_privacy_payload")
            lawyer.execute(
                "SELECT lockstep_core_hold_v1('lockstep_privacy_payload', %s, '', 'ann', 'case 7')", [held]
            )
        process.join(30)
    assert process.exitcode == 0, (tmp_path / "out.txt").read_text()
    assert [str(row.call) for row in Payload.objects.all()] == [held]
    assert Receipt.objects.get().counts["lockstep_privacy.Payload"] == {"erased": 1, "held": 1}
    assert not Customer.objects.exists()


class Elsewhere:
    """Visits are in another database."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "elsewhere" if model is Visit else None

    db_for_write = db_for_read


@pytest.fixture
def elsewhere(tmp_path: Path, settings: Any) -> Iterator[None]:
    place = {**connections.settings["default"], "ENGINE": "django.db.backends.sqlite3"}
    connections.settings["elsewhere"] = {**place, "NAME": tmp_path / "elsewhere.sqlite3", "OPTIONS": {}}
    settings.DATABASE_ROUTERS = [Elsewhere()]
    try:
        with connections["elsewhere"].schema_editor() as editor:
            editor.create_model(Visit)
        yield
    finally:
        connections["elsewhere"].close()
        del connections["elsewhere"]
        del connections.settings["elsewhere"]


VISITS = {"people.Customer": SHOP["people.Customer"]}


def test_two_databases_are_erased_from_and_the_receipt_counts_both(elsewhere: None) -> None:
    Visit.objects.create(visitor=7), Visit.objects.create(visitor=8)
    shopper("7")
    with registered({**VISITS, "people.Visit": Subject("people.Visit", "visitor")}):
        receipt = erase("7", **WHO)
    assert receipt.counts["people.Visit"] == {"erased": 1, "held": 0}
    assert receipt.counts["people.Customer"]["erased"] == 1
    assert Visit.objects.get().visitor == 8


def test_an_error_in_one_database_leaves_the_other_as_it_was(elsewhere: None) -> None:
    Visit.objects.create(visitor=7)
    shopper("7")
    with connections["elsewhere"].cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER never BEFORE DELETE ON people_visit BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
    visits = {"people.Visit": Subject("people.Visit", "visitor")}
    with registered({**VISITS, **visits}), pytest.raises(Error, match="never"):
        erase("7", **WHO)
    assert Customer.objects.exists()
    assert not Receipt.objects.exists()


def test_a_race_that_does_not_end_is_an_error() -> None:
    """A row that refuses to go as a held one does, and is not known as held."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION people_never() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'never' USING ERRCODE = 'restrict_violation'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER never BEFORE DELETE ON people_line FOR EACH ROW EXECUTE FUNCTION people_never()"
        )
    shopper("c-1")
    lines = {"people.Line": Subject("people.Line", "order__customer__number")}
    try:
        with registered(lines), pytest.raises(RightsError, match=r"Nothing was erased. never"):
            erase("c-1", **WHO)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION people_never() CASCADE")
    assert Line.objects.exists()
