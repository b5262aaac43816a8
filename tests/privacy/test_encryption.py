"""Redacted and encrypted: no sink sees the text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from lockstep.privacy import checks
from lockstep.privacy.encryption import reveal, rotate
from lockstep.privacy.exceptions import EncryptionUnavailable
from lockstep.privacy.redaction import redact

fernet = pytest.importorskip("cryptography.fernet")


@pytest.fixture
def keys(feature: str) -> Iterator[list[str]]:
    keys = [fernet.Fernet.generate_key().decode() for _ in range(2)]
    with override_settings(LOCKSTEP=settings_with(feature, keys[:1])):
        yield keys


def settings_with(feature: str, keys: list[str]) -> dict[str, object]:
    return {"privacy": {"policies": {feature: "redact_encrypt"}, "encryption_keys": keys}}


def test_the_copy_holds_a_token_of_the_redacted_text(feature: str, keys: list[str]) -> None:
    copy = redact(feature, "fine weather, 943 476 5919")
    assert copy is not None
    assert copy.encrypted
    assert "weather" not in copy.text + str(copy) + repr(copy)
    assert reveal(copy.text) == "fine weather, [NHS_1]"
    with pytest.raises(ValueError, match="encrypted"):
        _ = copy.data


def test_an_old_key_opens_until_its_tokens_are_rotated(feature: str, keys: list[str]) -> None:
    copy = redact(feature, "fine weather")
    assert copy is not None
    with override_settings(LOCKSTEP=settings_with(feature, keys[::-1])):
        assert reveal(copy.text) == "fine weather"
        new = rotate(copy.text)
    with override_settings(LOCKSTEP=settings_with(feature, keys[1:])):
        assert reveal(new) == "fine weather"
        with pytest.raises(EncryptionUnavailable):
            reveal(copy.text)


@pytest.mark.parametrize("wrong", [[], ["no key"]])
def test_without_a_key_nothing_is_kept_and_a_check_says_so(feature: str, wrong: list[str]) -> None:
    with override_settings(LOCKSTEP=settings_with(feature, wrong)):
        assert redact(feature, "fine weather") is None
        assert [one.id for one in checks.check_encryption()] == ["lockstep_privacy.E003"]
