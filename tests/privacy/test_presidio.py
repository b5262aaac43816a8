"""Presidio as a detector, where it is installed."""

from __future__ import annotations

import socket
import warnings
from typing import Any

import pytest
from django.test import override_settings

from lockstep.privacy.redaction import redact

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("presidio_analyzer")

SETTINGS = {
    "privacy": {
        "detectors": {
            "pack": {"BACKEND": "lockstep.privacy.detectors.pack.Pack", "OPTIONS": {"types": ["NHS"]}},
            "presidio": {
                "BACKEND": "lockstep.privacy.detectors.presidio.Presidio",
                "OPTIONS": {"entities": ["EMAIL_ADDRESS", "US_SSN", "CRYPTO"]},
            },
        },
        "timeout_s": 60,
    }
}


@pytest.mark.filterwarnings("ignore")
def test_its_recognisers_add_to_the_pack_and_ask_nothing_of_the_network(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with override_settings(LOCKSTEP=SETTINGS):
        copy = redact(feature, "ann@example.org paid 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa, 943 476 5919")
    assert copy is not None
    assert copy.text == "[EMAIL_1] paid [CRYPTO_1], [NHS_1]"


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_is_not_installed_is_not_downloaded() -> None:
    from lockstep.privacy.detectors.presidio import Presidio

    with pytest.raises(ValueError, match="not installed"):
        Presidio(model="xx_no_such_model")
