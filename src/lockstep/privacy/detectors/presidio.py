"""Presidio's recognisers as a detector: ``pip install 'django-lockstep[presidio]'``.

    LOCKSTEP = {"privacy": {"detectors": {
        "pack": {"BACKEND": "lockstep.privacy.detectors.pack.Pack"},
        "presidio": {
            "BACKEND": "lockstep.privacy.detectors.presidio.Presidio",
            "OPTIONS": {"entities": ["PERSON", "LOCATION"], "model": "en_core_web_lg"},
        },
    }}}

Nothing goes over the network: Presidio's e-mail recogniser, which would fetch the list of public suffixes, uses the
copy that comes with its library, and a model that is not installed is an error instead of a download.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer
from tldextract import TLDExtract

from lockstep.privacy.spans import Span, united

__all__ = ["Presidio"]

TYPES = {
    "CREDIT_CARD": "CARD", "EMAIL_ADDRESS": "EMAIL", "IBAN_CODE": "IBAN", "IP_ADDRESS": "IP", "PHONE_NUMBER": "PHONE",
    "UK_DRIVING_LICENCE": "DRIVING_LICENCE", "UK_NHS": "NHS", "UK_NINO": "NINO", "UK_PASSPORT": "PASSPORT",
    "UK_POSTCODE": "POSTCODE", "UK_VEHICLE_REGISTRATION": "VEHICLE",
}  # fmt: skip
"""Presidio's names for what the pack finds too."""
SUFFIXES = TLDExtract(suffix_list_urls=(), cache_dir=None)
"""Only the list inside the package."""


class OfflineEmail(EmailRecognizer):  # type: ignore[misc]
    """Presidio's own, but for where it looks up suffixes."""

    def validate_result(self, pattern_text: str) -> bool:
        return bool(SUFFIXES(pattern_text).fqdn)


class WithoutModel(NlpEngine):  # type: ignore[misc]
    """Splits into words and recognises nothing: for recognisers by pattern."""

    engine_name = "without model"
    is_available = True

    def __init__(self, language: str) -> None:
        self.language = language
        self._words = spacy.blank(language)

    def load(self) -> None: ...

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        words = self._words(text)
        return NlpArtifacts(
            entities=[], tokens=words, tokens_indices=[word.idx for word in words],
            lemmas=[word.text for word in words], nlp_engine=self, language=language, scores=[],
        )  # fmt: skip

    def process_batch(self, texts: Any, language: str, **_: Any) -> Any:
        for text in texts:
            yield text, self.process_text(text, language)

    def is_stopword(self, word: str, language: str) -> bool:
        return False

    def is_punct(self, word: str, language: str) -> bool:
        return False

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return [self.language]


class Presidio:
    """Presidio's predefined recognisers.

    Args:
        entities: Presidio's names of what to look for; None for all that its recognisers know.
        language: of the texts, as Presidio abbreviates it.
        model: an installed spaCy model, which finds names and places; None for patterns only.
        threshold: least score of a finding, 0 to 1.

    Raises:
        ValueError: the model is not installed.
    """

    version = "presidio:1"
    reach: int | None = None

    def __init__(
        self,
        entities: Sequence[str] | None = None,
        language: str = "en",
        model: str | None = None,
        threshold: float = 0.4,
    ) -> None:
        if model and not spacy.util.is_package(model):
            raise ValueError(
                f"The spaCy model {model!r} is not installed, and is not downloaded: install its package."
            )
        self.entities = list(entities) if entities else None
        self.language, self.model, self.threshold = language, model, threshold
        self._engine: AnalyzerEngine | None = None
        self._lock = threading.Lock()

    def find(self, text: str) -> list[Span]:
        found = self.engine.analyze(
            text, language=self.language, entities=self.entities, score_threshold=self.threshold
        )
        return united(
            Span(one.start, one.end, TYPES.get(one.entity_type, one.entity_type))
            for one in found
            if one.start < one.end
        )

    @property
    def engine(self) -> AnalyzerEngine:
        """Built at first use: it takes a second or two."""
        with self._lock:
            if self._engine is None:
                self._engine = self._built()
            return self._engine

    def _built(self) -> AnalyzerEngine:
        registry = RecognizerRegistry(supported_languages=[self.language])
        registry.load_predefined_recognizers(languages=[self.language])
        registry.recognizers = [one for one in registry.recognizers if not isinstance(one, EmailRecognizer)]
        registry.add_recognizer(OfflineEmail(supported_language=self.language))
        words: NlpEngine = WithoutModel(self.language)
        if self.model:
            words = SpacyNlpEngine(models=[{"lang_code": self.language, "model_name": self.model}])
            words.load()
        return AnalyzerEngine(registry=registry, nlp_engine=words, supported_languages=[self.language])
