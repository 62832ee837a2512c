"""A head that comes again: a client that keeps its connection mostly sends the same one, but for the body's length.

What it was parsed to the last time still holds, so the parser, which calls back for every line, is left out.
"""

import re
from typing import Final, Self

from service.exchange import Exchange, ExchangeConnection, is_small
from wire.headers import CONTENT_LENGTH

_END: Final = b"\r\n\r\n"
_BYTES: Final = 1024  # of a head that is kept: every connection may have one
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)(?=\r\n)", re.IGNORECASE)


class RepeatedHead:
    """The head of a request that an exchange has served, as the bytes before and behind its body's length."""

    __slots__ = ("_after", "_before", "_digits", "_exchange")

    def __init__(self, head: bytes, digits: tuple[int, int], exchange: Exchange) -> None:
        self._before = head[: digits[0]]
        self._after = head[digits[1] :]
        self._digits = head[slice(*digits)]
        self._exchange = (exchange.begin, exchange.params, exchange.url), exchange.headers

    @classmethod
    def of(cls, data: bytes, exchange: Exchange) -> Self | None:
        """The head of `exchange`, with which `data` ends; no part of a request came before `data`.

        None where more than this one request may be in `data`, where its head is long, and where it is the last one.
        """
        head = data[: len(data) - len(exchange.body)]
        alone = head.find(_END) == len(head) - len(_END)
        if not alone or len(head) > _BYTES or not exchange.keep_alive or (length := _LENGTH.search(head)) is None:
            return None
        return cls(head, length.span(1), exchange)

    def find(self, data: bytes, connection: ExchangeConnection) -> Exchange | None:
        """The request in `data`, if that is one request with this head, and whole; nobody has been told of it yet."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start)
        digits = data[start:end]
        if end < 0 or not is_small(digits) or not data.startswith(after, end):
            return None
        end += len(after)
        if len(data) - end != int(digits):
            return None
        found, headers = self._exchange
        if digits != self._digits:
            headers = {**headers, CONTENT_LENGTH: digits}
        exchange = Exchange(connection, *found, headers, keep_alive=True)
        exchange.body = data[end:]
        return exchange
