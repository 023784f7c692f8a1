"""The two languages: their catalogues, and which one a page is shown in.

A catalogue is one TOML file of sentences under dotted keys, with `{placeholders}`. Sentences are plain text; the templates escape them like everything else.
The English sentences of reasons come from `model.reasons`, which the command line shows too.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sekisho.model.reasons import SENTENCES

LANGUAGES = ("en", "ja")
DEFAULT = "en"
_LOCALE = Path(__file__).parent / "locale"
_ACCEPT_LIMIT = 512


@dataclass(frozen=True, slots=True)
class Catalogue:
    language: str
    sentences: Mapping[str, str]

    def say(self, key: str, /, **facts: object) -> str:
        """The sentence of a key. An unknown key is a bug; a missing fact shows as `?` rather than hide the sentence behind an error."""
        return self.sentences[key].format_map(_Facts(facts))

    def knows(self, key: str) -> bool:
        return key in self.sentences


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of one of `LANGUAGES`."""
    sentences = dict(_flat(tomllib.loads((_LOCALE / f"{language}.toml").read_text(encoding="utf-8"))))
    if language == DEFAULT:
        sentences |= {f"reason.{reason}": text for reason, text in SENTENCES.items()}
    return Catalogue(language, sentences)


def choose_language(*, chosen: str, accepted: str) -> str:
    """`chosen` by the person (a cookie, or the person's own setting) if it is one of ours, else the best of an Accept-Language header (RFC 9110 §12.5.4)."""
    if chosen in LANGUAGES:
        return chosen
    weighted = [_weighted(item) for item in accepted[:_ACCEPT_LIMIT].split(",")]
    ours = [(weight, language) for weight, language in weighted if language in LANGUAGES and weight > 0]
    return max(ours, key=lambda pair: pair[0])[1] if ours else DEFAULT


def _weighted(item: str) -> tuple[float, str]:
    name, _, quality = item.strip().partition(";")
    try:
        weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
    except ValueError:
        weight = 0.0
    return weight, name.strip().lower().partition("-")[0]


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


class _Facts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"
