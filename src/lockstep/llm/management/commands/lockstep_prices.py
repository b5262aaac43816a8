from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from lockstep.core.conf import nearest
from lockstep.llm.models import Price, Rate
from lockstep.llm.money import place
from lockstep.llm.money.entry import set_price, set_rate
from lockstep.llm.money.exceptions import PriceError
from lockstep.llm.money.snapshot import known_providers, priced_as, release
from lockstep.llm.money.sync import sync
from lockstep.llm.money.tariffs import tariff
from lockstep.llm.money.unpriced import unpriced, unpriced_calls


def figure(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is no number: write it like 0.25") from None


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date: write it like 2026-11-01") from None


def moment(text: str) -> datetime:
    """A date (midnight UTC) or a time with its offset; a time without one is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date: write 2026-11-01 or 2026-11-01T09:00+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Prices of models and exchange rates: dated rows that calls are charged with. Nothing is ever overwritten."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="sync | set | rate | list | check"
        )
        found = actions.add_parser("sync", help="Bring list prices in step with genai-prices; no network.")
        found.add_argument("--provider", nargs="+", action="extend", default=[], metavar="PROVIDER")
        found.add_argument("--model", nargs="+", action="extend", default=[], metavar="MODEL")
        self.add_set(
            actions.add_parser("set", help="Record a contract price or a tariff of your own machines.")
        )
        rate = actions.add_parser("rate", help="Record an exchange rate: one BASE is so many QUOTE.")
        rate.add_argument("base", metavar="BASE")
        rate.add_argument("quote", metavar="QUOTE")
        rate.add_argument("rate", metavar="RATE", type=figure)
        rate.add_argument(
            "--on", type=day, required=True, metavar="DATE", help="Holds from this day (UTC) on."
        )
        rate.add_argument("--source", required=True, help="Who published it.")
        listed = actions.add_parser("list", help="Prices and rates in force.")
        listed.add_argument("--at", type=moment, metavar="DATE", help="In force at another time.")
        listed.add_argument("--provider", nargs="+", action="extend", default=[], metavar="PROVIDER")
        listed.add_argument("--model", nargs="+", action="extend", default=[], metavar="MODEL")
        actions.add_parser(
            "check", help="Models in use without a price or a rate; exit 1 when there are any."
        )
        for action in actions.choices.values():
            action.add_argument("--database", default=place.database(), help="Alias of the database.")

    def add_set(self, parser: ArgumentParser) -> None:
        parser.add_argument("provider", metavar="PROVIDER")
        parser.add_argument("model", metavar="MODEL")
        parser.add_argument("--input", type=figure, help="Per million tokens.")
        parser.add_argument("--output", type=figure, help="Per million tokens, reasoning included.")
        parser.add_argument("--cache-read", type=figure, help="Per million tokens; as input when left out.")
        parser.add_argument("--cache-write", type=figure, help="Per million tokens; as input when left out.")
        parser.add_argument("--per-request", type=figure, default=Decimal(0), help="Fee of each call.")
        parser.add_argument("--min-input-tokens", type=int, default=0, help="A tier: holds from so many.")
        parser.add_argument("--currency", default=place.currency(), help="Three letters, such as GBP.")
        parser.add_argument("--from", dest="since", type=moment, metavar="DATE", help="Now when left out.")
        parser.add_argument("--note", default="", help="Where it is agreed.")
        sources = parser.add_mutually_exclusive_group()
        sources.add_argument("--contract", action="store_const", dest="source", const=Price.Source.CONTRACT)
        sources.add_argument("--tariff", action="store_const", dest="source", const=Price.Source.TARIFF)
        parser.add_argument(
            "--gpu-hour-cost", type=figure, help="Of one GPU: works out --input and --output."
        )
        parser.add_argument("--tokens-per-s", type=figure, help="Measured throughput of the server.")
        parser.add_argument(
            "--input-tokens-per-s", type=figure, help="Prompt tokens, measured by themselves."
        )
        parser.add_argument("--gpus", type=int, default=1, help="GPUs of the server.")
        parser.add_argument(
            "--utilisation", type=figure, default=Decimal(1), help="Part of the hours in use."
        )
        parser.set_defaults(source=Price.Source.CONTRACT)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["database"] not in connections:
            raise CommandError(
                f"No database {options['database']!r}. {nearest(options['database'], set(connections))}"
            )
        try:
            getattr(self, f"handle_{options['action']}")(options["database"], options)
        except PriceError as error:
            raise CommandError(str(error)) from error

    def handle_sync(self, using: str, options: dict[str, Any]) -> None:
        providers = options["provider"] or sorted(
            alias for alias in place.used() if place.listed_as(alias) in known_providers()
        )
        if not providers:
            raise CommandError(
                'Neither LOCKSTEP["llm"]["providers"] nor a feature names a provider that genai-prices knows. '
                "Name one: --provider openai."
            )
        if options["model"] and len(providers) > 1:
            raise CommandError(f"--model needs one provider: name it with --provider. In use: {providers}.")
        for provider in providers:
            done = sync(provider, models=options["model"], using=using)
            self.stdout.write(
                f"{provider}: {done.models} models in step with {release()}; "
                f"{done.inserted} rows inserted, {done.closed} closed."
            )
            if done.unpriced:
                self.stdout.write(f"  no price per token: {', '.join(done.unpriced)}")

    def listed(self) -> list[str]:
        """Providers in use that have list prices."""
        known = set(known_providers())
        return sorted(alias for alias in place.used() if place.listed_as(alias) in known)

    def handle_set(self, using: str, options: dict[str, Any]) -> None:
        provider, model, note = options["provider"], options["model"], options["note"]
        known = place.used()
        if provider not in known and (hint := nearest(provider, known)).startswith("Did you mean"):
            raise CommandError(f'LOCKSTEP["llm"]["providers"] has no {provider!r}. {hint}')
        amounts, measured = self.amounts(options)
        row = set_price(
            provider,
            model,
            **amounts,
            cache_read=options["cache_read"],
            cache_write=options["cache_write"],
            per_request=options["per_request"],
            min_input_tokens=options["min_input_tokens"],
            currency=options["currency"],
            source=options["source"],
            since=options["since"],
            note="; ".join(part for part in (note, measured) if part),
            using=using,
        )
        self.stdout.write(f"Recorded: {row}, from {row.valid_from:%Y-%m-%d %H:%M} UTC.")
        if row.model != model:
            self.stdout.write(
                f"{model} is priced as {row.model}: the price holds for all names of that model."
            )
        if options["since"] and options["since"] < datetime.now(UTC):
            self.stdout.write("Calls that were made since then keep the price that they were charged at.")

    def amounts(self, options: dict[str, Any]) -> tuple[dict[str, Decimal], str]:
        """``input`` and ``output``, as given or worked out from a machine's cost and speed; how, as a note."""
        given = {name: options[name] for name in ("input", "output") if options[name] is not None}
        hour, speed = options["gpu_hour_cost"], options["tokens_per_s"]
        if hour is None and speed is None:
            if len(given) < 2:
                raise CommandError(
                    "Give --input and --output, per million tokens (0 where nothing is charged)."
                )
            return given, ""
        if given or hour is None or speed is None:
            raise CommandError("Give --gpu-hour-cost and --tokens-per-s, or --input and --output.")
        prices = tariff(
            hour,
            speed,
            input_tokens_per_s=options["input_tokens_per_s"],
            gpus=options["gpus"],
            utilisation=options["utilisation"],
        )
        read = options["input_tokens_per_s"]
        gpus = f"{options['gpus']} GPU{'' if options['gpus'] == 1 else 's'}"
        note = f"{hour} a GPU hour, {gpus}, {speed} tokens/s"
        note += f" out, {read} in" if read else ""
        return {"input": prices.input, "output": prices.output}, f"{note}, in use {options['utilisation']}"

    def handle_rate(self, using: str, options: dict[str, Any]) -> None:
        row = set_rate(
            options["base"],
            options["quote"],
            options["rate"],
            on=options["on"],
            source=options["source"],
            using=using,
        )
        self.stdout.write(f"Recorded: {row}.")

    def handle_list(self, using: str, options: dict[str, Any]) -> None:
        at = options["at"] or datetime.now(UTC)
        prices = Price.objects.using(using).at(at)
        if options["provider"]:
            prices = prices.filter(provider__in=options["provider"])
        if options["model"]:
            names = {
                priced_as(provider, model)
                for model in options["model"]
                for provider in prices.values_list("provider", flat=True).distinct()
            }
            prices = prices.filter(model__in=names)
        head = [
            "model",
            "source",
            "",
            "from tokens",
            "input",
            "output",
            "read",
            "written",
            "fee",
            "since",
            "note",
        ]
        self.table(head, [[*self.cells(row)] for row in prices])
        rates = Rate.objects.using(using).filter(on_date__lte=at.astimezone(UTC).date())
        newest = rates.order_by("base", "quote", "-on_date", "-id").distinct("base", "quote")
        for rate in newest:
            self.stdout.write(f"{rate} ({rate.source})")

    def cells(self, row: Price) -> list[str]:
        amounts = (row.input, row.output, row.cache_read, row.cache_write, row.per_request)
        hours = f" {row.daily_from:%H:%M}-{row.daily_to:%H:%M} UTC" if row.daily_from and row.daily_to else ""
        return [
            f"{row.provider}:{row.model}{hours}",
            row.source,
            row.currency,
            str(row.min_input_tokens or ""),
            *("" if amount is None else f"{amount.normalize():f}" for amount in amounts),
            "" if row.valid_from.year == 1970 else f"{row.valid_from:%Y-%m-%d}",
            row.note,
        ]

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
        for row in (head, *rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write(line.rstrip())

    def handle_check(self, using: str, options: dict[str, Any]) -> None:
        found = unpriced(place.currency(), using=using)
        found += unpriced_calls(place.currency(), using=using)
        if found:
            lines = [f"{missing}\n    {missing.mend}" for missing in found]
            raise CommandError("\n".join([f"{len(found)} without a cost in {place.currency()}:", *lines]))
        self.stdout.write(f"Every model in use has a price in {place.currency()}.")
