"""Budgets from the command line: what is spent, limits, and the check against the ledger."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from lockstep.budgets.models import Budget
from lockstep.budgets.reports import Standing, drift, estimate, history, standings, sweep
from lockstep.core.pseudonyms import pseudonym
from lockstep.llm.conf import settings

BAR = 20
SWEEP_EVERY_S, ESTIMATE_EVERY_S = 2.0, 300.0


class Command(BaseCommand):
    help = "Budgets: what is spent, limits, and the check against the ledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="every budget and what is spent of it now")
        past = actions.add_parser("history", help="the periods of a budget")
        past.add_argument("budget", type=int)
        self._add_set(actions.add_parser("set", help="make a budget, or change the limit of one"))
        for name, help_text in (("off", "stop counting and refusing"), ("on", "begin again")):
            actions.add_parser(name, help=help_text).add_argument("budget", type=int)
        actions.add_parser("drift", help="exit 1 when a counter disagrees with the ledger")
        swept = actions.add_parser("sweep", help="fold, charge what lapsed, close what is over")
        swept.add_argument("--follow", action="store_true", help=f"every {SWEEP_EVERY_S:g} s, until stopped")

    def _add_set(self, parser: ArgumentParser) -> None:
        parser.add_argument("feature", help="name of a feature, or 'all'")
        parser.add_argument("limit", help="amount of the ledger's currency, or tokens with --tokens")
        parser.add_argument("--tokens", action="store_true")
        parser.add_argument("--period", choices=Budget.Period.values, default=Budget.Period.MONTH)
        parser.add_argument("--zone", default="Europe/London", help="whose midnight begins a day")
        parser.add_argument("--per", choices=Budget.Per.values, default=Budget.Per.ALL)
        parser.add_argument(
            "--who", default="", help="one cohort, tenant or primary key of a user; each of them"
        )
        parser.add_argument("--soft", type=int, default=70, metavar="PERCENT", help="when people are told")
        parser.add_argument("--estimated", action="store_true", help="hold what 99 of 100 calls use")

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            getattr(self, f"do_{action}")(**options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error

    def do_list(self, **_: Any) -> None:
        found = standings(self._budgets().all())
        for one in found:
            self.stdout.write(f"{one.budget.pk:>4}  {_bar(one)}  {_figures(one)}  {one.budget}")
        if not found:
            self.stdout.write("No budgets: lockstep_budgets set all 100 --period month")

    def do_history(self, *, budget: int, **_: Any) -> None:
        for one in history(self._get(budget)):
            self.stdout.write(f"{one.starts_at:%Y-%m-%d}  {_bar(one)}  {_figures(one)}  {one.who}".rstrip())

    def do_set(self, *, feature: str, limit: str, tokens: bool, **options: Any) -> None:
        unit = Budget.Unit.TOKENS if tokens else Budget.Unit.MONEY
        who = options["who"]
        if options["per"] == Budget.Per.USER and who:
            who = pseudonym(who)
        about = {
            "feature": "" if feature == "all" else feature, "per": options["per"], "who": who,
            "period": options["period"], "unit": unit,
        }  # fmt: skip
        known = self._budgets().filter(active=True, **about).first()
        budget = known or Budget(**about, time_zone=options["zone"])
        if budget.time_zone != options["zone"]:
            raise CommandError(
                f"Budget {budget.pk} counts days of {budget.time_zone}, which is never changed: switch it off"
                f" (lockstep_budgets off {budget.pk}) and set another."
            )
        budget.cap = _limit(limit, unit)
        budget.soft_percent = options["soft"]
        budget.bound = Budget.Bound.ESTIMATED if options["estimated"] else Budget.Bound.STRICT
        budget.currency = "" if tokens else budget.currency or settings().currency
        budget.full_clean()
        budget.save(using=settings().database)
        self.stdout.write(f"{'Changed' if known else 'Made'} budget {budget.pk}: {budget}")

    def do_off(self, *, budget: int, **_: Any) -> None:
        self._switch(budget, active=False)

    def do_on(self, *, budget: int, **_: Any) -> None:
        self._switch(budget, active=True)

    def do_drift(self, **_: Any) -> None:
        found = list(drift())
        for one in found:
            self.stderr.write(
                f"{one.period}: {one.spent} spent and {one.reserved} held; the ledger says"
                f" {one.ledger_spent} and {one.ledger_reserved}."
            )
        if found:
            raise CommandError(f"{len(found)} counters disagree with the ledger: please report it.")
        self.stdout.write("Every counter agrees with the ledger.")

    def do_sweep(self, *, follow: bool, **_: Any) -> None:
        estimated = float("-inf")
        while True:
            count = sweep()
            if time.monotonic() - estimated > ESTIMATE_EVERY_S:
                estimate()
                estimated = time.monotonic()
            if not follow:
                self.stdout.write(f"{count} counters folded.")
                return
            time.sleep(SWEEP_EVERY_S)

    def _switch(self, key: int, *, active: bool) -> None:
        budget = self._get(key)
        budget.active = active
        budget.full_clean()
        budget.save()
        self.stdout.write(f"Budget {budget.pk} is {'on' if active else 'off'}: {budget}")

    def _get(self, key: int) -> Budget:
        found: Budget | None = self._budgets().filter(pk=key).first()
        if found is None:
            raise CommandError(f"There is no budget {key}: lockstep_budgets list shows them.")
        return found

    def _budgets(self) -> Any:
        return Budget.objects.using(settings().database)


def _limit(text: str, unit: str) -> int:
    try:
        amount = Decimal(text)
        if unit == Budget.Unit.MONEY:
            amount *= 1_000_000
        if not amount.is_finite() or amount != int(amount):
            raise InvalidOperation
    except (InvalidOperation, ValueError) as error:
        what = "whole tokens" if unit == Budget.Unit.TOKENS else "an amount with at most six decimals"
        raise CommandError(f"{text!r} is no limit: give {what}.") from error
    return int(amount)


def _bar(one: Standing) -> str:
    full = min(BAR, int(BAR * one.percent / 100))
    held = min(BAR - full, -int(-BAR * one.held_percent // 100))
    return "█" * full + "▒" * held + "·" * (BAR - full - held)


def _figures(one: Standing) -> str:
    return f"{one.percent:6.1f} %  {one.budget.text(one.spent):>20}  {one.state:<5}"
