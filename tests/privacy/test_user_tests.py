"""What a user's own tests do to every table leaves retention as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import Error, transaction

from lockstep.core.retention.models import ExpiringTable
from lockstep.privacy.models import Payload
from tests.privacy.rows import TABLE, kept

pytestmark = pytest.mark.usefixtures("transactional_db")


def test_a_flush_as_after_a_transaction_test_case_leaves_tables_expiring() -> None:
    kept()
    table = ExpiringTable.objects.filter(pk=TABLE)
    columns = "table_name", "key_column", "subject_column", "keep", "most"
    before = table.values_list(*columns).get()
    call_command("flush", verbosity=0, interactive=False, allow_cascade=False)
    assert Payload.objects.count() == 0
    kept(subject="ann")
    assert Payload.objects.count() == 1
    assert table.values_list(*columns).get() == before
    with pytest.raises(Error, match="lockstep_lifetime"), transaction.atomic():
        kept(timedelta(days=91))


def test_what_a_rolled_back_test_keeps_is_gone_with_its_partition() -> None:
    from tests.privacy.rows import partitions

    before = partitions()
    with transaction.atomic():
        kept(timedelta(days=44))
        assert partitions() != before
        transaction.set_rollback(True)
    assert partitions() == before
    assert Payload.objects.count() == 0
