"""Usages and what they cost, worked out by hand.

``BOOK`` and ``RATES`` are made for this table: round figures near what providers ask. Prices are per million tokens,
so price times tokens is a number of millionths already. ``sums`` is the arithmetic: each part between semicolons is
an equation, and ``->`` rounds the last figure half up to whole micro-pounds. The tests check the equations, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(key: str, source: str, currency: str, input: str, output: str, **rest: Any) -> dict[str, Any]:  # noqa: A002
    provider, model = key.split(":")
    for column in ("cache_read", "cache_write", "per_request"):
        if column in rest:
            rest[column] = Decimal(rest[column])
    start = {"valid_from": ALWAYS} | rest
    return {
        "provider": provider, "model": model, "source": source, "currency": currency,
        "input": Decimal(input), "output": Decimal(output), **start,
    }  # fmt: skip


BOOK = [
    row("openai:mini", "list", "USD", "0.25", "2", cache_read="0.025"),
    row("openai:mini", "contract", "GBP", "0.15", "1.2", cache_read="0.015",
        valid_from=day("2026-11-10"), valid_to=day("2026-11-20")),
    row("openai:long", "list", "USD", "2.5", "15", cache_read="0.25"),
    row("openai:long", "list", "USD", "5", "22.5", cache_read="0.5", min_input_tokens=272_001),
    row("openai:old", "list", "USD", "10", "40", cache_read="0.5", valid_to=day("2025-06-10")),
    row("openai:old", "list", "USD", "2", "8", cache_read="0.5", valid_from=day("2025-06-10")),
    row("openai:embedding", "list", "USD", "0.02", "0"),
    row("openai:plain", "list", "USD", "1.1", "4.4"),
    row("anthropic:large", "list", "USD", "3", "15", cache_read="0.3", cache_write="3.75"),
    row("anthropic:large", "list", "USD", "6", "22.5", cache_read="0.6", cache_write="7.5",
        min_input_tokens=200_001),
    row("anthropic:small", "list", "USD", "1", "5", cache_read="0.1", cache_write="1.25"),
    row("vllm:qwen", "tariff", "GBP", "0.388888889", "0.388888889"),
    row("vllm:split", "tariff", "GBP", "0.058333333", "0.583333333"),
    row("vllm:qwen-tuned", "tariff", "GBP", "0.4", "0.4"),
    row("vllm:qwen-tuned", "list", "USD", "9", "9"),
    row("vllm:qwen-tuned", "contract", "GBP", "0.3", "0.5", valid_from=day("2026-11-15")),
    row("acme:searching", "list", "USD", "1", "1", per_request="0.012"),
    row("acme:fee-only", "contract", "GBP", "0", "0", per_request="0.0025"),
    row("acme:half", "list", "GBP", "0.5", "0.5", cache_read="0.5", cache_write="0.5"),
    row("acme:crumbs", "list", "USD", "0.0001", "0.0004"),
    row("acme:finest", "list", "GBP", "0.000000001", "0.000000001"),
    row("acme:free", "list", "USD", "0", "0"),
    row("acme:euro", "list", "EUR", "0.4", "1.6", cache_read="0"),
    row("acme:yen", "list", "JPY", "40", "160"),
    row("acme:steps", "list", "GBP", "1", "2"),
    row("acme:steps", "list", "GBP", "2", "4", min_input_tokens=32_001),
    row("acme:steps", "list", "GBP", "4", "8", min_input_tokens=128_001),
    row("acme:bulk", "list", "GBP", "2", "6", cache_read="3"),
    row("acme:bulk", "list", "GBP", "1", "3", cache_read="1.5", min_input_tokens=100_000),
    row("acme:night", "list", "USD", "0.135", "0.55", cache_read="0.035"),
    row("acme:night", "list", "USD", "0.27", "1.1", cache_read="0.07", daily_from=time(0, 30), daily_to=time(16, 30)),
    row("acme:midnight", "list", "GBP", "2", "2"),
    row("acme:midnight", "list", "GBP", "1", "1", daily_from=time(22), daily_to=time(6)),
    row("acme:corrected", "contract", "GBP", "7", "7", valid_from=day("2026-11-01")),
    row("acme:corrected", "contract", "GBP", "0.7", "0.7", valid_from=day("2026-11-01")),
    row("acme:dear", "list", "GBP", "1000000", "1000000", cache_read="1000000", per_request="1000000"),
]  # fmt: skip

RATES = [
    ("USD", "GBP", "0.74", "2025-01-01"),
    ("USD", "GBP", "0.7612", "2026-11-01"),
    ("USD", "GBP", "0.76", "2026-11-20"),
    ("USD", "GBP", "0.7605", "2026-11-20"),  # the correction of the row above
    ("EUR", "GBP", "0.861234567", "2026-01-01"),
]


NOON = day("2026-11-05T12:00")


@dataclass(frozen=True)
class Golden:
    name: str
    model: str
    """``provider:model`` of the book."""
    tokens: tuple[int, int, int, int]
    """Input (with both caches), output (with reasoning), read from the cache, written to it."""
    sums: str
    """The arithmetic. Empty: unpriced."""
    at: datetime = NOON

    @property
    def micros(self) -> int | None:
        """What it costs: the figure after ``->``."""
        return int(self.sums.rpartition("->")[2].replace("_", "")) if self.sums else None


GOLDEN = [
    # OpenAI: cached input is part of the input
    Golden("half a micro-pound goes up", "openai:mini", (1_000, 500, 0, 0),
           "1000*0.25 + 500*2 = 1250; 1250*0.7612 = 951.5 -> 952"),
    Golden("cached input is charged once, at its own price", "openai:mini", (1_000, 500, 800, 0),
           "(1000-800)*0.25 + 800*0.025 + 500*2 = 50 + 20 + 1000 = 1070; 1070*0.7612 = 814.484 -> 814"),
    Golden("everything was cached", "openai:mini", (1_000, 10, 1_000, 0),
           "1000*0.025 + 10*2 = 45; 45*0.7612 = 34.254 -> 34"),
    Golden("no tokens cost nothing", "openai:mini", (0, 0, 0, 0), "0 -> 0"),
    Golden("one token out", "openai:mini", (0, 1, 0, 0), "1*2 = 2; 2*0.7612 = 1.5224 -> 2"),
    Golden("one token in is less than half a micro-pound", "openai:mini", (1, 0, 0, 0),
           "1*0.25 = 0.25; 0.25*0.7612 = 0.1903 -> 0"),
    Golden("1800 of 2000 tokens out were reasoning and are in there already", "openai:mini", (1_200, 2_000, 0, 0),
           "1200*0.25 + 2000*2 = 300 + 4000 = 4300; 4300*0.7612 = 3273.16 -> 3273"),
    Golden("all of the output was reasoning", "openai:mini", (90, 4_096, 0, 0),
           "90*0.25 + 4096*2 = 22.5 + 8192 = 8214.5; 8214.5*0.7612 = 6252.8774 -> 6253"),
    Golden("a model without a cache price reads its cache at the input price", "openai:plain", (2_000, 100, 1_500, 0),
           "(2000-1500)*1.1 + 1500*1.1 + 100*4.4 = 2640; 2640*0.7612 = 2009.568 -> 2010"),
    Golden("embeddings have no output", "openai:embedding", (8_191, 0, 0, 0),
           "8191*0.02 = 163.82; 163.82*0.7612 = 124.699784 -> 125"),
    Golden("one embedded word", "openai:embedding", (3, 0, 0, 0), "3*0.02 = 0.06; 0.06*0.7612 = 0.045672 -> 0"),
    # tiers: the whole usage is charged at the tier that the input reaches
    Golden("the last token below the tier", "openai:long", (272_000, 1_000, 0, 0),
           "272000*2.5 + 1000*15 = 680000 + 15000 = 695000; 695000*0.7612 = 529034 -> 529034"),
    Golden("the first token of the tier lifts all of them, and the output", "openai:long", (272_001, 1_000, 0, 0),
           "272001*5 + 1000*22.5 = 1360005 + 22500 = 1382505; 1382505*0.7612 = 1052362.806 -> 1052363"),
    Golden("cached tokens count for the tier", "openai:long", (300_000, 0, 290_000, 0),
           "(300000-290000)*5 + 290000*0.5 = 50000 + 145000 = 195000; 195000*0.7612 = 148434 -> 148434"),
    Golden("output tokens do not count for the tier", "openai:long", (272_000, 500_000, 0, 0),
           "272000*2.5 + 500000*15 = 8180000; 8180000*0.7612 = 6226616 -> 6226616"),
    Golden("first of three steps", "acme:steps", (32_000, 10, 0, 0), "32000*1 + 10*2 = 32020 -> 32020"),
    Golden("second of three steps", "acme:steps", (32_001, 10, 0, 0), "32001*2 + 10*4 = 64042 -> 64042"),
    Golden("third of three steps", "acme:steps", (128_001, 10, 0, 0), "128001*4 + 10*8 = 512084 -> 512084"),
    Golden(
        "the last token before the discount",
        "acme:bulk",
        (99_999, 0, 0, 0),
        "99999*2 = 199998 -> 199998",
    ),
    Golden("a discount for large inputs", "acme:bulk", (100_000, 0, 0, 0), "100000*1 = 100000 -> 100000"),
    Golden(
        "a cache that is dearer than fresh input",
        "acme:bulk",
        (1_000, 0, 600, 0),
        "400*2 + 600*3 = 2600 -> 2600",
    ),
    # Anthropic: reads and writes
    Golden("cache read and write beside five fresh tokens", "anthropic:large", (130_213, 400, 128_955, 1_253),
           "130213-128955-1253 = 5; 5*3 + 128955*0.3 + 1253*3.75 + 400*15 = 15 + 38686.5 + 4698.75 + 6000 = 49400.25;"
           " 49400.25*0.7612 = 37603.4703 -> 37603"),
    Golden("a cache is filled", "anthropic:large", (50_000, 1, 0, 49_000),
           "(50000-49000)*3 + 49000*3.75 + 1*15 = 3000 + 183750 + 15 = 186765; 186765*0.7612 = 142165.518 -> 142166"),
    Golden("the same cache is read", "anthropic:large", (50_000, 1, 49_000, 0),
           "(50000-49000)*3 + 49000*0.3 + 1*15 = 3000 + 14700 + 15 = 17715; 17715*0.7612 = 13484.658 -> 13485"),
    Golden("a long context with a cache", "anthropic:large", (200_001, 2_000, 150_000, 50_000),
           "(200001-150000-50000)*6 + 150000*0.6 + 50000*7.5 + 2000*22.5 = 6 + 90000 + 375000 + 45000 = 510006;"
           " 510006*0.7612 = 388216.5672 -> 388217"),
    Golden("exactly the edge of the long context", "anthropic:large", (200_000, 0, 0, 0),
           "200000*3 = 600000; 600000*0.7612 = 456720 -> 456720"),
    Golden("a small model, a short answer", "anthropic:small", (412, 58, 0, 0),
           "412*1 + 58*5 = 702; 702*0.7612 = 534.3624 -> 534"),
    Golden("a small model, thinking aloud within the output", "anthropic:small", (2_048, 3_333, 1_024, 512),
           "(2048-1024-512)*1 + 1024*0.1 + 512*1.25 + 3333*5 = 512 + 102.4 + 640 + 16665 = 17919.4;"
           " 17919.4*0.7612 = 13640.24728 -> 13640"),
    Golden("more cached than there was input: nothing is negative", "anthropic:small", (10, 0, 15, 5),
           "0*1 + 15*0.1 + 5*1.25 = 7.75; 7.75*0.7612 = 5.8993 -> 6"),
    # self-hosted: £2.10 a GPU hour at 1,500 tokens a second
    Golden("own GPU", "vllm:qwen", (1_500, 300, 0, 0), "(1500+300)*0.388888889 = 700.0000002 -> 700"),
    Golden("own GPU, an hour's tokens cost the hour to a thousandth of a penny", "vllm:qwen",
           (5_400_000, 0, 0, 0), "5400000*0.388888889 = 2100000.0006 -> 2100000"),
    Golden("own GPU, prompt ten times as fast as the answer", "vllm:split", (12_000, 600, 0, 0),
           "12000*0.058333333 + 600*0.583333333 = 699.999996 + 349.9999998 = 1049.9999958 -> 1050"),
    Golden("own GPU with a prefix cache that nobody charges for differently", "vllm:qwen", (1_000, 0, 900, 0),
           "(1000-900)*0.388888889 + 900*0.388888889 = 388.888889 -> 389"),
    # precedence
    Golden("before the contract the list price holds", "openai:mini", (1_000, 500, 0, 0),
           "1000*0.25 + 500*2 = 1250; 1250*0.7612 = 951.5 -> 952", day("2026-11-09T23:59:59")),
    Golden("the contract goes before the list, in pounds without a rate", "openai:mini", (1_000, 500, 200, 0),
           "(1000-200)*0.15 + 200*0.015 + 500*1.2 = 120 + 3 + 600 = 723 -> 723", day("2026-11-10")),
    Golden("when the contract has ended the list price is back", "openai:mini", (1_000, 500, 200, 0),
           "(1000-200)*0.25 + 200*0.025 + 500*2 = 1205; 1205*0.7605 = 916.4025 -> 916", day("2026-11-20")),
    Golden("a tariff goes before a list price", "vllm:qwen-tuned", (1_000, 1_000, 0, 0),
           "2000*0.4 = 800 -> 800"),
    Golden("a contract goes before both", "vllm:qwen-tuned", (1_000, 1_000, 0, 0),
           "1000*0.3 + 1000*0.5 = 800 -> 800", day("2026-11-16")),
    Golden("of two rows that begin together the later one is the correction", "acme:corrected", (1_000, 0, 0, 0),
           "1000*0.7 = 700 -> 700"),
    # dates
    Golden("the last second of the old price", "openai:old", (1_000, 1_000, 0, 0),
           "1000*10 + 1000*40 = 50000; 50000*0.74 = 37000 -> 37000", day("2025-06-09T23:59:59")),
    Golden("the first second of the new price", "openai:old", (1_000, 1_000, 0, 0),
           "1000*2 + 1000*8 = 10000; 10000*0.74 = 7400 -> 7400", day("2025-06-10")),
    Golden("the last day of the old exchange rate", "openai:old", (1_000, 1_000, 0, 0),
           "1000*2 + 1000*8 = 10000; 10000*0.74 = 7400 -> 7400", day("2026-10-31T23:59:59")),
    Golden("the first day of the new exchange rate", "openai:old", (1_000, 1_000, 0, 0),
           "1000*2 + 1000*8 = 10000; 10000*0.7612 = 7612 -> 7612", day("2026-11-01")),
    Golden("of two rates of one day the later one is the correction", "openai:old", (1_000, 1_000, 0, 0),
           "1000*2 + 1000*8 = 10000; 10000*0.7605 = 7605 -> 7605", day("2026-11-21")),
    Golden("by day the dear price", "acme:night", (1_000, 1_000, 500, 0),
           "500*0.27 + 500*0.07 + 1000*1.1 = 135 + 35 + 1100 = 1270; 1270*0.7612 = 966.724 -> 967",
           day("2026-11-05T16:29:59")),
    Golden("by night the cheap one", "acme:night", (1_000, 1_000, 500, 0),
           "500*0.135 + 500*0.035 + 1000*0.55 = 67.5 + 17.5 + 550 = 635; 635*0.7612 = 483.362 -> 483",
           day("2026-11-05T16:30")),
    Golden("hours that run over midnight, before it", "acme:midnight", (100, 0, 0, 0), "100*1 = 100 -> 100",
           day("2026-11-05T23:00")),
    Golden("hours that run over midnight, after it", "acme:midnight", (100, 0, 0, 0), "100*1 = 100 -> 100",
           day("2026-11-05T05:59:59")),
    Golden("hours that run over midnight, at noon", "acme:midnight", (100, 0, 0, 0), "100*2 = 200 -> 200"),
    # fees
    Golden("a fee for each request beside the tokens", "acme:searching", (1_000, 200, 0, 0),
           "1000*1 + 200*1 + 1000000*0.012 = 1200 + 12000 = 13200; 13200*0.7612 = 10047.84 -> 10048"),
    Golden("a fee for a request that had no tokens", "acme:searching", (0, 0, 0, 0),
           "1000000*0.012 = 12000; 12000*0.7612 = 9134.4 -> 9134"),
    Golden("nothing but a fee", "acme:fee-only", (123_456, 7_890, 0, 0), "1000000*0.0025 = 2500 -> 2500"),
    # other currencies
    Golden("euros", "acme:euro", (10_000, 1_000, 4_000, 0),
           "(10000-4000)*0.4 + 4000*0 + 1000*1.6 = 4000; 4000*0.861234567 = 3444.938268 -> 3445"),
    # halves, crumbs and giants
    Golden("a half goes up", "acme:half", (1, 0, 0, 0), "1*0.5 = 0.5 -> 1"),
    Golden("the half after an even number goes up, too", "acme:half", (5, 0, 0, 0), "5*0.5 = 2.5 -> 3"),
    Golden("four halves are rounded together, not each", "acme:half", (3, 1, 1, 1),
           "(3-1-1)*0.5 + 1*0.5 + 1*0.5 + 1*0.5 = 2 -> 2"),
    Golden("three halves are rounded together, not each", "acme:half", (2, 1, 1, 0),
           "(2-1)*0.5 + 1*0.5 + 1*0.5 = 1.5 -> 2"),
    Golden("crumbs of a cheap model", "acme:crumbs", (5_000, 1_000, 0, 0),
           "5000*0.0001 + 1000*0.0004 = 0.5 + 0.4 = 0.9; 0.9*0.7612 = 0.68508 -> 1"),
    Golden("crumbs below a half", "acme:crumbs", (3_000, 500, 0, 0),
           "3000*0.0001 + 500*0.0004 = 0.3 + 0.2 = 0.5; 0.5*0.7612 = 0.3806 -> 0"),
    Golden("the finest price that a row can hold", "acme:finest", (500_000_000, 0, 0, 0),
           "500000000*0.000000001 = 0.5 -> 1"),
    Golden("one token less of it", "acme:finest", (499_999_999, 0, 0, 0),
           "499999999*0.000000001 = 0.499999999 -> 0"),
    Golden("a free model costs nothing and is priced", "acme:free", (10_000, 10_000, 0, 0), "0 -> 0"),
    Golden("as many tokens as a column can hold", "anthropic:large", (2_147_483_647, 2_147_483_647, 0, 0),
           "2147483647*6 + 2147483647*22.5 = 61203283939.5; 61203283939.5*0.7612 = 46587939734.7474 -> 46587939735"),
    Golden("the dearest row there can be", "acme:dear", (2_147_483_647, 2_147_483_647, 0, 0),
           "2147483647*1000000*2 + 1000000*1000000 = 4294967294000000 + 1000000000000 = 4295967294000000"
           " -> 4295967294000000"),
    # unpriced
    Golden("nobody knows the model", "openai:unheard-of", (1_000, 1_000, 0, 0), ""),
    Golden("nobody knows the rate", "acme:yen", (1_000, 1_000, 0, 0), ""),
    Golden("nobody knows the rate of that day yet", "openai:mini", (1_000, 0, 0, 0), "", day("2024-12-31T23:59:59")),
    Golden("a price that has not begun", "acme:corrected", (1_000, 0, 0, 0), "", day("2026-10-31T23:59:59")),
]  # fmt: skip
