from __future__ import annotations

import json
import os
import signal
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from demo.orders.models import Order, Refund
from demo.orders.workflows import LIMIT_PENCE
from demo.shop.visits import Visitor
from lockstep.workflows import answer
from lockstep.workflows.models import Run

TIMEOUT_S = 30


class Command(BaseCommand):
    help = (
        "Ask the running shop for two refunds and fail unless each is paid once: a small one by itself, a large one"
        " after a person approved it, with its worker killed while the bank thinks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="Address of the running shop, such as http://127.0.0.1:8000/")

    def handle(self, *args: Any, url: str, **options: Any) -> None:
        self.alice = Visitor(url, "alice")
        small, large = order_of("LS-20117"), order_of("LS-20098")
        try:
            self.pays_a_small_one_by_itself(small)
            self.pays_a_large_one_once_after_a_person_and_a_kill(large)
        finally:
            small.delete()
            large.delete()

    def pays_a_small_one_by_itself(self, order: Order) -> None:
        assert order.total_pence <= LIMIT_PENCE
        refund = self.ask(order)
        run = self.until(refund, lambda run: run.status == "succeeded")
        self.expect(not run.waits.for_people().exists(), "nobody was asked about a small refund")
        self.expect_paid_once(refund)
        self.stdout.write(f"A refund of {order.total_pence} pence went through by itself.")

    def pays_a_large_one_once_after_a_person_and_a_kill(self, order: Order) -> None:
        refund = self.ask(order, slowly="on")
        run = self.until(refund, lambda run: run.waits.open().for_people().exists())
        self.expect(not payments(order), "nothing is paid before a person has seen it")
        answer(run.waits.open().get(), "approve", by=User.objects.get(username="bob"))
        run = self.until(refund, lambda run: run.status == "running" and payments(order))
        _, pid, _ = run.owner.split(":")
        os.kill(int(pid), signal.SIGKILL)
        killed = time.monotonic()
        run = self.until(refund, lambda run: run.status == "succeeded")
        self.expect(run.nodes.filter(status="died").exists(), "the worker died in the middle")
        (payment,) = self.expect_paid_once(refund)
        self.expect(payment["asked"] == 2, "the bank was asked again with the same key")
        self.stdout.write(
            f"A refund of {order.total_pence} pence was approved, its worker (pid {pid}) killed while the bank thought"
            f" about it; {time.monotonic() - killed:.1f} s later it was done, and paid once."
        )

    def ask(self, order: Order, **fields: str) -> Refund:
        self.alice.send(order.get_absolute_url(), reason="It came broken.", **fields)
        return order.refunds.get()

    def until(self, refund: Refund, holds: Callable[[Run], Any]) -> Run:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            run = Run.objects.get(pk=refund.run_id)
            if holds(run):
                return run
            if run.ended_at:
                break
            time.sleep(0.1)
        raise CommandError(f"{refund}: {run.status} at {run.node!r} ({run.reason}), and not as it should be.")

    def expect_paid_once(self, refund: Refund) -> list[dict[str, Any]]:
        booked = payments(refund.order)
        self.expect(
            [one["pence"] for one in booked] == [refund.order.total_pence], "the bank has one payment"
        )
        page = self.alice.page(refund.get_absolute_url())
        self.expect("We have paid" in page, "the page shows the mail")
        mails = [text for text in sent() if refund.order.number in text]
        self.expect(len(mails) == 1 and "We have paid" in mails[0], "one mail was sent")
        return booked

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise CommandError(f"It is not so that {what}.")


def order_of(number: str) -> Order:
    return Order.objects.get(number=number).placed_again()


def payments(order: Order) -> list[dict[str, Any]]:
    """What stands in the bank's own book."""
    with urlopen(f"{settings.BANK_URL}book.json", timeout=10) as response:  # noqa: S310 -- an address of our own
        return [one for one in json.load(response) if one["order"] == order.number]


def sent() -> list[str]:
    """The mails that went out."""
    return [path.read_text() for path in Path(settings.EMAIL_FILE_PATH).iterdir()]
