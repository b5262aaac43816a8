"""Addresses for events from outside: made, listed, switched off."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, Max, Q

from lockstep.workflows.conf import settings
from lockstep.workflows.inbox import webhooks
from lockstep.workflows.inbox.models import InboundEvent, Webhook


class Command(BaseCommand):
    help = "Make, list and switch off the addresses that others send events to."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        make = actions.add_parser(
            "make", help="an address and its secret, shown once; another for a source that has one"
        )
        make.add_argument("source", help="who sends: payments")
        make.add_argument("--event", default="", help="name of its events; else their type")
        make.add_argument("--key", default="", help="where their key stands in the body: data.order.id")
        actions.add_parser("list", help="all of them, and what has come in")
        for action, told in (("off", "take nothing from it"), ("on", "take its events again")):
            actions.add_parser(action, help=told).add_argument("source")

    def handle(self, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(**options)

    def _make(self, *, source: str, event: str, key: str, **_: Any) -> None:
        try:
            made = webhooks.make(source, event=event, key_path=key)
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Address: {made.url}")
        if source in settings().webhook_secrets:
            self.stdout.write(f'Secret: the one of LOCKSTEP["workflows"]["webhook_secrets"][{source!r}]')
        else:
            self.stdout.write(f"Secret: {made.secret}")
        self.stdout.write("Neither is shown again.")

    def _list(self, **_: Any) -> None:
        events = InboundEvent.objects.using(settings().database).order_by().values("source")
        counted = {
            row["source"]: row
            for row in events.annotate(
                all=Count("pk"), kept=Count("pk", Q(wait=None)), last=Max("received_at")
            )
        }
        for one in Webhook.objects.using(settings().database):
            row = counted.get(one.source, {"all": 0, "kept": 0, "last": None})
            last = f", the last {row['last']:%Y-%m-%d %H:%M}" if row["last"] else ""
            self.stdout.write(
                f"{one.source}: {one.event or 'by their type'}{one.key_path and f', key {one.key_path}'},"
                f" {'on' if one.active else 'off'}; {row['all']} came{last}, {row['kept']} given to no run"
            )

    def _off(self, *, source: str, **_: Any) -> None:
        self._switch(source, active=False)

    def _on(self, *, source: str, **_: Any) -> None:
        self._switch(source, active=True)

    def _switch(self, source: str, *, active: bool) -> None:
        if not Webhook.objects.using(settings().database).filter(source=source).update(active=active):
            raise CommandError(f"There is no address for {source!r}: lockstep_webhook make {source}")
        self.stdout.write(f"{source} is {'on' if active else 'off'}.")
