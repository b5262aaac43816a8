from contextlib import suppress
from threading import Thread
from typing import Any

from django.apps import AppConfig
from django.core.signals import request_started
from django.db.models.signals import post_save


class ShopConfig(AppConfig):
    name = "demo.shop"
    verbose_name = "Larkrise Supply"

    def ready(self) -> None:
        from demo.shop import usual_way

        for model in usual_way.USUAL:
            post_save.connect(usual_way.keep_up_one, sender=model, dispatch_uid=f"usual {model.__name__}")
        request_started.connect(warm_up, dispatch_uid="warm up")


def warm_up(**_: Any) -> None:
    """Load the model while the first visitor reads the first page, so that the first search need not wait."""
    request_started.disconnect(dispatch_uid="warm up")
    Thread(target=_embed_something, daemon=True).start()


def _embed_something() -> None:
    from lockstep.search.embedders import get_embedder
    from lockstep.search.exceptions import EmbedderError

    with suppress(EmbedderError):  # the page that needs it will say so
        get_embedder().embed_query("warm up")
