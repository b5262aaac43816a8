"""Prices and rates stay as they were written, whoever tries."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DataError, IntegrityError, connection, transaction

from lockstep.llm.models import Price, Rate
from lockstep.llm.models.money import ALWAYS
from lockstep.llm.money import guards
from lockstep.llm.sql.money import CREATE, DROP, TRUNCATE_GUARDS

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def price(**given: Any) -> Price:
    row = {
        "provider": "openai", "model": "gpt-5-mini", "source": "list", "currency": "USD",
        "input": Decimal("0.25"), "output": Decimal(2), "valid_from": ALWAYS,
    }  # fmt: skip
    return Price.objects.create(**row | given)


def rate(**given: Any) -> Rate:
    row = {"base": "USD", "quote": "GBP", "rate": Decimal("0.7612"), "on_date": date(2026, 11, 1)}
    return Rate.objects.create(**row | {"source": "Bank of England"} | given)


def run(sql: str, *values: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values or None)


def by_save(row: Any, column: str, value: object) -> None:
    setattr(row, column, value)
    row.save()


def by_queryset(row: Any, column: str, value: object) -> None:
    type(row).objects.filter(pk=row.pk).update(**{column: value})


def by_bulk_update(row: Any, column: str, value: object) -> None:
    setattr(row, column, value)
    type(row).objects.bulk_update([row], [column])


def by_sql(row: Any, column: str, value: object) -> None:
    run(f"UPDATE {row._meta.db_table} SET {column} = %s WHERE id = %s", value, row.pk)


def by_upsert(row: Any, column: str, value: object) -> None:
    run(
        f"INSERT INTO {row._meta.db_table} SELECT * FROM {row._meta.db_table} WHERE id = %s"
        f" ON CONFLICT (id) DO UPDATE SET {column} = %s",
        row.pk, value,
    )  # fmt: skip


def by_merge(row: Any, column: str, value: object) -> None:
    table = row._meta.db_table
    run(
        f"MERGE INTO {table} t USING {table} s ON t.id = s.id AND t.id = %s"
        f" WHEN MATCHED THEN UPDATE SET {column} = %s",
        row.pk, value,
    )  # fmt: skip


WAYS = [by_save, by_queryset, by_bulk_update, by_sql, by_upsert, by_merge]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("column", "value"),
    [("input", Decimal(9)), ("model", "gpt-5"), ("valid_from", NOON), ("note", "x"), ("source", "contract")],
)
def test_no_column_of_a_price_can_be_changed(way: Any, column: str, value: object) -> None:
    row = price()
    with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
        way(row, column, value)
    assert Price.objects.get().input == Decimal("0.25")


@pytest.mark.parametrize("way", WAYS)
def test_no_column_of_a_rate_can_be_changed(way: Any) -> None:
    row = rate()
    with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
        way(row, "rate", Decimal(2))
    assert Rate.objects.get().rate == Decimal("0.7612")


def test_neither_can_be_deleted() -> None:
    for row in (price(), rate()):
        for delete in (
            row.delete,
            type(row).objects.all().delete,
            lambda row=row: run(f"DELETE FROM {row._meta.db_table}"),
        ):
            with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
                delete()
    assert (Price.objects.count(), Rate.objects.count()) == (1, 1)


def test_copy_can_neither_overwrite_a_row_nor_bring_a_negative_price() -> None:
    row = price()
    columns = "id, provider, model, source, currency, min_input_tokens, input, output, per_request, valid_from, note"
    for line, why in (
        (f"{row.pk}\topenai\tgpt-5-mini\tlist\tUSD\t0\t9\t9\t0\t2026-01-01\t\n", "duplicate key"),
        ("-1\topenai\tgpt-5-mini\tlist\tUSD\t0\t-9\t9\t0\t2026-01-01\t\n", "lockstep_llm_price_amounts"),
        ("-1\topenai\tgpt-5-mini\tgift\tUSD\t0\t9\t9\t0\t2026-01-01\t\n", "lockstep_llm_price_source"),
        ("-1\topenai\tgpt-5-mini\tlist\tusd\t0\t9\t9\t0\t2026-01-01\t\n", "lockstep_llm_price_currency"),
        ("-1\topenai\tgpt-5-mini\tlist\tUSD\t0\tNaN\t9\t0\t2026-01-01\t\n", "lockstep_llm_price_amounts"),
    ):
        with (
            pytest.raises(psycopg.errors.IntegrityError, match=why),
            transaction.atomic(),
            connection.cursor() as cursor,
            cursor.copy(f"COPY lockstep_llm_price ({columns}) FROM STDIN") as copy,
        ):
            copy.write(line)
    assert Price.objects.get().input == Decimal("0.25")


def test_a_price_is_closed_once_and_stays_closed() -> None:
    row = price()
    assert Price.objects.filter(pk=row.pk).close(NOON) == 1
    row.refresh_from_db()
    assert row.valid_to == NOON
    for value in (NOON + timedelta(days=1), None):
        with pytest.raises(IntegrityError, match="valid_to may be set once"), transaction.atomic():
            by_sql(row, "valid_to", value)


def test_closing_may_not_hide_another_change() -> None:
    row = price()
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        run("UPDATE lockstep_llm_price SET valid_to = %s, output = 1 WHERE id = %s", NOON, row.pk)


def test_a_price_cannot_end_before_it_began() -> None:
    row = price(valid_from=NOON)
    with pytest.raises(IntegrityError, match="lockstep_llm_price_period"), transaction.atomic():
        by_sql(row, "valid_to", ALWAYS)


def test_a_rate_is_positive_and_between_two_currencies() -> None:
    for wrong in ({"rate": 0}, {"rate": -1}, {"rate": Decimal("1e9")}, {"quote": "USD"}, {"base": "dol"}):
        with pytest.raises((IntegrityError, DataError)), transaction.atomic():
            rate(**wrong)


def test_a_test_database_has_no_truncate_guard_so_that_a_flush_goes_through() -> None:
    price()
    guards.install(using="default")
    call_command("flush", interactive=False, verbosity=0, stdout=io.StringIO())
    assert Price.objects.count() == 0


def test_elsewhere_truncate_is_refused() -> None:
    price()
    rate()
    for statement in TRUNCATE_GUARDS:
        run(statement)
        run(statement)  # every migrate puts them on again
    for table in ("lockstep_llm_price", "lockstep_llm_rate"):
        with pytest.raises(IntegrityError, match="TRUNCATE on lockstep_llm_"), transaction.atomic():
            run(f"TRUNCATE {table} CASCADE")
    assert (Price.objects.count(), Rate.objects.count()) == (1, 1)


def test_the_migration_takes_back_everything_that_it_made() -> None:
    for statement in (*DROP, *CREATE):
        run(statement)
    row = price()
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        row.delete()
    for statement in DROP:
        run(statement)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_proc WHERE proname ~ '^lockstep_llm_(price|rate|cost)'"
            " UNION ALL SELECT count(*) FROM pg_trigger WHERE tgname ~ '^lockstep_llm_(price|rate)_'"
        )
        assert cursor.fetchall() == [(0,), (0,)]
    row.delete()
