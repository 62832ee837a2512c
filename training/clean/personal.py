"""Masks personal data in texts: which kind it was stays visible, the data itself does not."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import phonenumbers
from stdnum import iban, luhn

from training.recipe.clean import Personal

Spans = Callable[[str], Iterator[tuple[int, int]]]

# Bounded by ASCII alone: Chinese writes no space before or after them.
_EMAIL: Final = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\.[a-z]{2,}", re.I | re.A)
_IBAN: Final = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.ASCII)
_CARD: Final = re.compile(r"(?<![\w.])[2-6](?:[ -]?\d){12,18}(?!\w)", re.ASCII)
_IP4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", re.ASCII)
_IP6: Final = re.compile(r"(?<![\w:.])[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){2,7}(?![\w:])", re.I | re.A)
_FEWEST_DIGITS: Final = 7  # of a phone number


def make_mask(kinds: Sequence[Personal], regions: Sequence[str]) -> Callable[[str], str]:
    """A function that puts `[email]`, `[phone]`, `[card]`, `[iban]` or `[ip]` in the place of each one of `kinds`.

    A phone number without a country's code is one if it is valid in one of `regions`.
    """
    # Phone numbers last: the digits of a card could pass for one.
    finders: dict[Personal, Spans] = {
        "email": _emails, "iban": _ibans, "card": _cards, "ip": _ips, "phone": partial(_phones, regions=regions),
    }  # fmt: skip

    def mask(text: str) -> str:
        for kind, find in finders.items():
            if kind in kinds:
                for start, end in reversed(list(find(text))):
                    text = f"{text[:start]}[{kind}]{text[end:]}"
        return text

    return mask


def _emails(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        # What follows may look like more of it; its length is its country's, which the check knows.
        end = next(
            (end for end in range(match.end(), match.start() + 14, -1) if _is_whole_iban(text, match, end)), None
        )
        if end is not None:
            yield match.start(), end


def _is_whole_iban(text: str, match: re.Match[str], end: int) -> bool:
    return text[end - 1].isalnum() and bool(iban.is_valid(text[match.start() : end]))


def _cards(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _CARD.finditer(text) if luhn.is_valid(re.sub("[ -]", "", match[0])))


def _ips(text: str) -> Iterator[tuple[int, int]]:
    found = sorted(match.span() for pattern in (_IP4, _IP6) for match in pattern.finditer(text))
    return (span for span in found if _is_ip(text[slice(*span)]))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _phones(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
        return
    matchers = [phonenumbers.PhoneNumberMatcher(text, region) for region in regions or (None,)]
    found = sorted((match.start, match.end) for matcher in matchers for match in matcher)
    past = 0
    for start, end in found:
        if start >= past:  # else another region's reading of the same digits
            yield start, end
            past = end
