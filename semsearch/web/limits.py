"""How much one caller, and all of them together, may ask at once."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakValueDictionary

import anyio
from prometheus_client import Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semsearch.errors import Overloaded, TooManyRequests
from semsearch.web import exchange

REMEMBERED = 10_000  # callers


class Buckets:
    """A bucket of tokens for each caller, which fills at a rate: whoever has none left waits.

    >>> at = iter([0.0, 0.0, 0.0, 0.5]).__next__
    >>> buckets = Buckets(rate=2, burst=2, clock=at)
    >>> [buckets.take("anna") for _ in range(4)]
    [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, max(burst, 1.0), clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take a token; where there is none, the seconds until there is one."""
        wait = self.wait(caller)
        if wait == 0 and self._rate > 0:
            level, at = self._levels[caller]
            self._levels[caller] = (level - 1, at)
        return wait

    def wait(self, caller: str) -> float:
        """The seconds until there is a token; 0 when there is one, or no limit."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        level, at = self._levels.get(caller, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        self._levels[caller] = (level, now)
        self._levels.move_to_end(caller)
        while len(self._levels) > REMEMBERED:
            self._levels.popitem(last=False)
        return 0.0 if level >= 1 else (1 - level) / self._rate


class Places:
    """So many at once, and no more than `share` of one key, by default half of them."""

    def __init__(self, what: str, most: int, wait: float, *, share: int = 0, running: Gauge | None = None) -> None:
        self.what, self.most, self.wait, self.running = what, most, wait, running
        self.share = share or math.ceil(most / 2)
        self._all: anyio.Semaphore | None = None
        self._of_keys: WeakValueDictionary[str, anyio.Semaphore] = WeakValueDictionary()  # of those who have a place

    def place(self, key: str | None) -> Place:
        """One to enter; without a key, as on a machine of one's own, there are no shares."""
        if self._all is None:
            self._all = anyio.Semaphore(self.most)
        if key is None:
            return Place(self, [self._all])
        own = self._of_keys.get(key)
        if own is None:
            own = self._of_keys[key] = anyio.Semaphore(self.share)
        return Place(self, [own, self._all])  # in this order: who has enough of them stands in nobody's way


class Place:
    """One request's, which it may leave and enter again."""

    def __init__(self, places: Places, needed: list[anyio.Semaphore]) -> None:
        self._places, self._needed = places, needed
        self._held: list[anyio.Semaphore] = []

    async def enter(self, *, patient: bool = False) -> None:
        """Wait a moment for others to end; who is `patient` waits for as long as it takes.

        Raises TooManyRequests where all that this key may have are taken, Overloaded where all are.
        """
        with anyio.move_on_after(None if patient else self._places.wait):
            for each in self._needed:
                await each.acquire()
                self._held.append(each)
            self._count(1)
            return
        raise self._refusal()

    def leave(self) -> None:
        """Nothing, where it is left already."""
        if len(self._held) == len(self._needed):
            self._count(-1)
        while self._held:
            self._held.pop().release()

    def _count(self, change: int) -> None:
        if self._places.running is not None:
            self._places.running.inc(change)

    def _refusal(self) -> TooManyRequests | Overloaded:
        is_share, places = len(self._held) < len(self._needed) - 1, self._places
        self.leave()
        if is_share:
            told = f"{places.share} {places.what} of this key are running already, its share; try again in a moment."
            return TooManyRequests(told, math.ceil(places.wait))
        told = f"{places.most} {places.what} are running already; try again in a moment."
        return Overloaded(told, math.ceil(places.wait))


class Turns:
    """Middleware that gives every request a place: searches have theirs, whatever else keeps the threads busy.

    A place is free again when the answer begins, however slowly it is read, and while the bytes of a stream or a file
    are waited for: `senders` are bounded for themselves. Streams of events count as `listeners` until they end.
    """

    def __init__(self, app: ASGIApp, searches: Places, others: Places, senders: Places, listeners: Places) -> None:
        self._app, self._searches, self._others = app, searches, others
        self._senders, self._listeners = senders, listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = exchange.of(scope) if scope["type"] == "http" else None
        if found is None or found.rule is None or found.rule.needs == "anybody":
            await self._app(scope, receive, send)
            return
        rule, key = found.rule, found.caller.key_id if found.caller else None
        place = (self._searches if rule.is_search else self._others).place(key)
        sending = self._senders.place(key) if rule.is_stream or rule.is_upload else None
        listening = self._listeners.place(key) if rule.is_events else None
        begun = False

        async def waited() -> Message:
            if begun or sending is None:
                return await receive()
            place.leave()
            message = await receive()
            await place.enter(patient=True)
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            for each in (place, sending):
                if each is not None:
                    each.leave()
            await send(message)

        try:
            for each in (sending, listening, place):
                if each is not None:
                    await each.enter()
            await self._app(scope, waited, watched)
        finally:
            for each in (place, sending, listening):
                if each is not None:
                    each.leave()
