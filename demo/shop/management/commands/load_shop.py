from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from tqdm import tqdm

from demo.shop import loading
from demo.shop.models import Article, Product, Question


class Command(BaseCommand):
    help = "Put demo/content into the shop. Does nothing when it is there; goes on where it was stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        if loading.is_loaded():
            self.stdout.write("The shop is loaded.")
            return
        loading.load_prompts()
        self.quiet = options["verbosity"] == 0
        loading.load_people()
        loading.load_records(loading.product_rows(), "sku", self.progress)
        loading.load_records(loading.article_rows(), "slug", self.progress)
        loading.load_orders()
        for command in ("lockstep_reembed", "lockstep_stats"):  # the vector index; how rare each word is
            call_command(command, "shop.Product", "shop.Article", verbosity=0)
        loading.load_questions()
        loading.mark_loaded()
        self.stdout.write(
            f"Loaded {Product.objects.count()} products, {Article.objects.count()} help articles"
            f" and {Question.objects.count()} questions."
        )

    def progress(self, records: Sequence[Any], what: str) -> Iterator[Sequence[Any]]:
        """Batches, with a bar where somebody is looking and a line where nobody is."""
        if records and not self.quiet and not sys.stderr.isatty():
            self.stdout.write(f"{what}: {len(records)} ...")
            self.stdout.flush()
        silent = self.quiet or not records or None  # None: silent unless this is a terminal
        with tqdm(total=len(records), desc=what, unit="rec", disable=silent) as bar:
            for batch in loading.in_batches(records):
                yield batch
                bar.update(len(batch))
