"""The navigator: keeps a client connected, to the leader if it can be reached, else to a seed.

What is said on the channel is not known here.
"""

from asyncio import Event, get_running_loop, sleep, timeout
from collections.abc import Awaitable, Callable, Collection
from random import Random
from typing import Optional

from yarl import URL

from consensual.http.channel import Channel, Unreachable

BACK_OFF, LONGEST_BACK_OFF = 0.03, 1.0
"""Seconds, about, for which a node that was not reached is left alone, at first and at last."""

LEADERLESS = 0.7
"""Seconds after which a node that knows no leader is left for another one."""


class _Place:
    """What is known about one node: how often, and why, it could not be reached."""

    def __init__(self) -> None:
        self.failures = 0
        self.not_before = 0.0
        self.reason = ''


class Navigator:
    """Chooses whom to talk to.

    connect: opens a channel; raises `Unreachable`.
    on_channel: called when there is another channel, and when there is none any more.
    """

    def __init__(
        self,
        seeds: Collection[URL],
        connect: Callable[[URL], Awaitable[Channel]],
        on_channel: Callable[[], None],
        random: Random,
    ) -> None:
        self._places = {url: _Place() for url in seeds}
        self._seeds = list(self._places)
        random.shuffle(self._seeds)
        self._connect = connect
        self._on_channel = on_channel
        self._random = random
        self._channel: Optional[Channel] = None
        self._hint: Optional[URL] = None
        self._left: Optional[URL] = None
        self._news = Event()
        self._is_unwelcome = False

    def __repr__(self) -> str:
        return f'Navigator(at {self._channel!r})'

    @property
    def channel(self) -> Optional[Channel]:
        """Where to send calls; None while there is nowhere."""
        channel = self._channel
        return channel if channel is not None and not channel.is_over else None

    @property
    def troubles(self) -> str:
        """Why nodes could not be reached, the last time."""
        return '; '.join(place.reason for place in self._places.values() if place.reason)

    def tell(self) -> None:
        """There is news of the channel."""
        self._news.set()

    def go_elsewhere(self) -> None:
        """The node is of no use at present."""
        self._is_unwelcome = True
        self._news.set()

    async def run(self) -> None:
        """Keep connected, for ever; closes the last channel when it is cancelled."""
        try:
            while True:
                if (channel := await self._try(await self._next())) is not None:
                    await self._use(channel)
                    await self._stay()
        finally:
            if self._channel is not None:
                await self._channel.close()

    async def _next(self) -> URL:
        """Return whom to try next, when the time has come: the leader, or the next seed."""
        loop = get_running_loop()
        hint, self._hint = self._hint, None
        if hint is not None and self._places[hint].not_before <= loop.time():
            return hint
        candidates = [url for url in self._seeds if url != self._left] or self._seeds
        url = min(candidates, key=lambda url: self._places[url].not_before)
        self._seeds.remove(url)
        self._seeds.append(url)
        await sleep(self._places[url].not_before - loop.time())
        return url

    async def _try(self, url: URL) -> Optional[Channel]:
        place = self._places[url]
        try:
            channel = await self._connect(url)
        except Unreachable as error:
            place.reason = str(error)
            self._put_off(place)
            return None
        place.reason = ''
        return channel

    def _put_off(self, place: _Place) -> None:
        back_off = min(BACK_OFF * 2**place.failures, LONGEST_BACK_OFF)
        place.failures = min(place.failures + 1, 10)
        place.not_before = get_running_loop().time() + back_off * self._random.uniform(0.5, 1.5)

    async def _use(self, channel: Channel) -> None:
        await self._leave()
        self._channel = channel
        self._is_unwelcome = False
        self._on_channel()

    async def _stay(self) -> None:
        """Return when the channel has ended, or its node is of no use; follow the leader."""
        while (channel := self.channel) is not None and not self._is_unwelcome:
            self._news.clear()
            leader = self._leader_of(channel)
            if channel.leader is None:
                if not await self._wait(LEADERLESS) and len(self._seeds) > 1:
                    break
                continue
            self._places[channel.url].failures = 0
            if leader is None or leader == channel.url:
                await self._news.wait()
            elif (pause := self._places[leader].not_before - get_running_loop().time()) > 0:
                await self._wait(pause)
            elif (other := await self._try(leader)) is not None:
                await self._use(other)
        last = self._channel
        if last is not None:
            leader = self._leader_of(last)
            self._hint = leader if leader != last.url else None
            self._left = last.url
            self._put_off(self._places[last.url])
            await self._leave()
            self._on_channel()

    async def _leave(self) -> None:
        """Say good-bye where one is; calls wait meanwhile."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.leave()

    def _leader_of(self, channel: Channel) -> Optional[URL]:
        """Return where the leader is; None where a token that went by TLS would go without."""
        leader = channel.leader
        if leader is None or leader.scheme != channel.url.scheme:
            return None
        url = next((url for url in self._places if url.authority == leader.authority), leader)
        self._places.setdefault(url, _Place())
        return url

    async def _wait(self, seconds: float) -> bool:
        """Wait for news, so long; tell whether there is any."""
        try:
            async with timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
