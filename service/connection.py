"""One connection to gateway or worker: its requests are parsed, and answered by the application in their order."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.asgi import Headers, Scope, by_name
from service.cancel_scope import CONNECTION
from service.exchange import Exchange, Found
from service.heads import check_head, path_of, target, too_large, without_offer
from service.limits import Watch
from service.refusal import Refused
from service.repeated_head import RepeatedHead
from service.timeouts import BODY, CLOSING, HEAD, IDLE, WHOLE
from service.watched_connection import WatchedProtocol
from wire import headers as names

# So much is parsed at once: what stands behind a request that is being served waits as bytes.
_SLICE: Final = 16 * 1024

_LOOKED_AT: Final = frozenset({names.EXPECT, names.HOST, names.TRANSFER_ENCODING})
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
Find = Callable[[bytes, Headers], Found | None]
_TLS: Final = b"\x16\x03"
_BODY_SOON_S: Final = 0.01


class ClientProtocol(WatchedProtocol):
    """Serves one request at a time; what is sent behind it waits as bytes."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, watch=watch, **kwargs)
        self._read = watch.read
        self._fed = 0  # bytes, since the slice in which a request began
        self._trailers = 0  # bytes of them
        self._hosts = 0
        self._head_without_offer: bytes | None = None  # where the head that came last offered another protocol
        self._late = False  # where `_waiting` waits for this connection's turn
        self._repeated: RepeatedHead | None = None
        self._find: Find | None = getattr(self.app, "find_exchange", None)

    def data_received(self, data: bytes) -> None:
        if self.flow.paused:
            self._waiting += data  # it was on its way when reading was paused
        elif not self._read.has_room(self.loop.time()):
            self._late = self.flow.paused = True
            self._waiting = data
            self._read.add(self._read_late)
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        if (exchange := self._find_again(data)) is not None:
            self._stage, self._seconds, self._body = WHOLE, 0, len(exchange.body)
            self.cycle = cast(RequestResponseCycle, exchange)
            exchange.finish()
        elif len(data) <= _SLICE:
            between = self._stage == IDLE
            self._feed(data)
            if self.pipeline:
                self.flow.pause()
            if self._stage == BODY:
                self._wait_for_body()
            elif between and isinstance(served := cast(object, self.cycle), Exchange):
                self._repeated = RepeatedHead.of(data, served) if self._stage in (WHOLE, IDLE) else None
        else:
            self._feed_slices(data)

    def _find_again(self, data: bytes) -> Exchange | None:
        """The request in `data`, where all but its body is known, so that it needs not be parsed."""
        if self._repeated is None or self._stage != IDLE or self.flow.write_paused:
            return None
        return self._repeated.find(data, self)

    # What httptools finds

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = HEAD
        self._seconds = self._fed = self._trailers = self._hosts = 0
        self._head_without_offer = None

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage != HEAD:
            return self._pass_over_trailer(name, value)
        name, value = name.lower(), value.strip(b" \t")
        if name in _LOOKED_AT:
            self._look_at(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        if parser.should_upgrade():
            method, version = parser.get_method(), parser.get_http_version()
            self._head_without_offer = without_offer(method, self.url, version, self.headers)
            return
        version = parser.get_http_version()
        if version != "1.1" or self._hosts != 1 or self._fed > self._limits.head_bytes - _SLICE:
            check_head(self.url, version, self.headers, self._limits.head_bytes)
        before, keep_alive = self.cycle, version == "1.1" and parser.should_keep_alive()
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.cycle = self._make_cycle(parser.get_method(), self.url, self.headers, version, keep_alive)
            self.pipeline.appendleft((self.cycle, self.app))
        elif (exchange := self._make_exchange(version, keep_alive)) is not None:
            self.cycle = cast(RequestResponseCycle, exchange)
        else:
            self.cycle = self._make_cycle(parser.get_method(), self.url, self.headers, version, keep_alive)
            self._start_asgi_task(self.cycle, self.app)
        self._stage = BODY
        self._body = 0

    def _make_exchange(self, version: str, keep_alive: bool) -> Exchange | None:
        """The request's way without ASGI, where it has one."""
        if self._find is None or version != "1.1" or self.flow.write_paused or self.parser.get_method() != b"POST":
            return None
        headers = by_name(self.headers)
        found = self._find(self.url, headers)
        return None if found is None else Exchange(self, *found, self.url, headers, keep_alive)

    def serve_by_application(self, exchange: Exchange, about: Mapping[str, Any]) -> None:
        """Called by an exchange whose request takes ASGI's way after all."""
        cycle = self._make_cycle(b"POST", exchange.url, [*exchange.headers.items()], "1.1", exchange.keep_alive)
        cast(Scope, cycle.scope).update(about)
        cycle.body, cycle.more_body = bytearray(exchange.body), exchange.more_body
        cycle.disconnected = exchange.disconnected
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if cast(object, self.cycle) is exchange:  # and no other request waits behind it
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def _make_cycle(
        self, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]], version: str, keep_alive: bool
    ) -> RequestResponseCycle:
        raw_path, query = target(url)
        scope: Any = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": "http",
            "path": path_of(raw_path),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": self.client,
            "server": self.server,
            "state": self.app_state.copy(),
            CONNECTION: self,
        }
        self.scope = scope
        return RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return self._watch.drops.add(self.flow)
        if isinstance(cycle, Exchange):
            return cycle.add(body)
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._head_without_offer is not None:
            return
        cycle = self.cycle
        if cycle.response_complete:
            self._stage, self._seconds = IDLE, 0
            self.flow.dropping = False
            self.flow.resume_reading()
            return
        self._stage = WHOLE
        if isinstance(cycle, Exchange):
            return cycle.finish()
        cycle.more_body = False
        cycle.message_event.set()
        if not self.pipeline:
            self.flow.resume_reading()  # a large body has paused it, and then nobody would see the client hang up

    # What uvicorn tells

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if self.pipeline:
                return
        else:
            self._seconds = 0
            if self._refusal is not None:
                return self._answer(self._refusal)
            if self._stage == WHOLE:
                self._stage = IDLE
            elif self._stage == BODY and self.expect_100_continue and not self._body:
                # Nobody told the client to send the body, and what comes next may be it or another request.
                return self._close()
        if self.flow.paused:
            self._go_on()
        else:
            self.flow.resume_reading()

    # Parsing

    def _feed_slices(self, data: bytes) -> None:
        view = memoryview(data)
        for at in range(0, len(data), _SLICE):
            self._feed(view[at : at + _SLICE])
            if self.pipeline:
                self._waiting = bytes(view[at + _SLICE :])
                self.flow.pause()
                return
        if self._stage == BODY:
            self._wait_for_body()

    def _wait_for_body(self) -> None:
        """Many clients send the body behind its head. If it does not come soon, the application waits for it."""
        exchange = cast(object, self.cycle)
        if isinstance(exchange, Exchange) and exchange.slot is None and not exchange.response_complete:
            exchange.slot = self.deadlines.add(exchange.started + _BODY_SOON_S, exchange)

    def _read_late(self) -> None:
        if self._late and not self.transport.is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """Parse the bytes that were kept back."""
        self._late = self.flow.paused = False
        waiting, self._waiting = self._waiting, b""
        self._receive(waiting)
        self.flow.resume_reading()

    def _feed(self, data: bytes | memoryview) -> None:
        if self._stage == CLOSING:
            return self._watch.drops.add(self.flow)
        if self.transport.is_closing():
            return
        self._fed += len(data)
        if self._fed > self._limits.head_bytes + _SLICE and (refused := self._check_fed()) is not None:
            return self._refuse(refused)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._decline(memoryview(data), offer.args[0])
        except httptools.HttpParserCallbackError as error:
            raised = error.__context__
            self._refuse(raised if isinstance(raised, Refused) else Refused(400, "the path is not one of HTTP"))
        except httptools.HttpParserError as error:
            tls = ", and this server speaks no TLS" if bytes(data[:2]) == _TLS else ""
            self._refuse(Refused(400, f"the request is not HTTP/1.1: {error}{tls}"))

    def _decline(self, data: memoryview, offset: int) -> None:
        """Go on as if the client had not offered to speak another protocol; `data` from `offset` on was not parsed.

        The parser takes an offer for accepted: it ends the message behind its head, and what follows, which is the
        body, would be the next request. So the head is parsed again, without the offer.
        """
        while self._head_without_offer is not None:
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            data = data[offset:]
            self.parser.feed_data(self._head_without_offer)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                offset = offer.args[0]

    def _pass_over_trailer(self, name: bytes, value: bytes) -> None:
        """Ignore a trailer, but count it: it comes too late to be among the headers."""
        self._trailers += len(name) + len(value) + 4
        if self._trailers > self._limits.head_bytes:
            raise too_large(self._limits.head_bytes)

    def _check_fed(self) -> Refused | None:
        """A refusal where the head is too large, or the body's framing (chunk sizes) is larger than the body."""
        if self._stage == HEAD:
            return too_large(self._limits.head_bytes)
        if self._stage == BODY and self._fed - 2 * self._body > self._limits.head_bytes + _SLICE:
            return Refused(400, "the body is chunked so finely that its framing is larger than itself")
        return None

    def _look_at(self, name: bytes, value: bytes) -> None:
        if name == names.HOST:
            self._hosts += 1
        elif name == names.EXPECT:
            self.expect_100_continue = value.lower() == b"100-continue"
        elif value.lower() != b"chunked":
            raise Refused(501, "the only transfer encoding that this server knows is chunked")
