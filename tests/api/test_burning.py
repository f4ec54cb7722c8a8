"""Processors that burn time on the loop: what others get of it (design §2, Processors)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import looptime
import pytest

from consensual.raft import Node, communication
from tests.clusters import T, url_of, urls_of


class BurningLoop(looptime.make_event_loop_class(asyncio.SelectorEventLoop)):  # type: ignore[misc]
    """A loop of virtual time on which code can take time without letting others run."""

    burnt = 0.0

    def time(self) -> float:
        return float(super().time()) + self.burnt

    def burn(self, seconds: float) -> None:
        self.burnt += seconds


@pytest.fixture
def loop() -> Iterator[BurningLoop]:
    loop = BurningLoop()
    yield loop
    loop.close()


def test_backlog_of_burning_processors_does_not_delay_heartbeats(loop: BurningLoop) -> None:
    """Design §2: applying yields to the loop: a backlog of 60 s costs no leader his office."""
    nodes: dict[str, Any] = {}
    made: list[Node] = []
    for name in 'abc':
        node = Node.from_url(
            url_of(name),
            sender=communication.Sender([], nodes),
            processors={'burn': loop.burn},
        )
        communication.Receiver(node, nodes).start()
        made.append(node)

    async def run() -> None:
        assert await made[0].solo() is None
        assert await made[0].attach_nodes(urls_of('bc')) is None
        term = made[0].status.term
        calls = [made[number % 3].execute('burn', 0.02, timeout=600) for number in range(1000)]
        began = loop.time()
        await asyncio.gather(*calls)
        assert loop.time() - began > 40 * T
        assert [node.status.term for node in made] == [term] * 3
        assert made[0].status.role == 'leader'
        await asyncio.gather(*(node.stop() for node in made))

    loop.run_until_complete(run())


def test_stall_of_the_whole_process_costs_no_leader_his_office(loop: BurningLoop) -> None:
    """Design §3: a deadline reached late, the loop was stalled, is re-armed once."""
    nodes: dict[str, Any] = {}
    made: list[Node] = []
    for name in 'abc':
        node = Node.from_url(url_of(name), sender=communication.Sender([], nodes))
        communication.Receiver(node, nodes).start()
        made.append(node)

    async def run() -> None:
        assert await made[0].solo() is None
        assert await made[0].attach_nodes(urls_of('bc')) is None
        term = made[0].status.term
        for _ in range(10):
            loop.burn(10 * T)
            await asyncio.sleep(T)
        assert [node.status.term for node in made] == [term] * 3
        await asyncio.gather(*(node.stop() for node in made))

    loop.run_until_complete(run())
