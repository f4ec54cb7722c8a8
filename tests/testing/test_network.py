"""A simulated network: every fault is heard, each way of a link for itself."""

from collections import Counter
from typing import Any, cast

import pytest
from yarl import URL

from consensual.raft import MessageKind, Node, ReceiverUnavailable
from consensual.raft.errors import NodeStopped
from consensual.testing.network import LATENCY, Endpoint, Network, NetworkSender, Noise
from consensual.testing.process import Process
from consensual.testing.timeline import Timeline

KIND = MessageKind.INQUIRE


class Echo:
    """Stands where a node stands: answers with what it was told, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.error: Exception | None = None

    async def receive(self, *, kind: MessageKind, message: Any) -> Any:
        assert kind is KIND
        self.heard.append(message)
        if self.error is not None:
            raise self.error
        return {'echo': message}


class Net:
    """Echoes on a network, and what became of the messages that were sent."""

    def __init__(self, names: str, seed: int = 0) -> None:
        self.timeline = Timeline()
        self.network = Network(self.timeline, seed)
        self.echoes = {name: Echo() for name in names}
        self.processes = {name: Process(self.timeline, name) for name in names}
        self.answers: list[tuple[Any, float]] = []
        self.failures: list[tuple[Any, str]] = []
        self.broken: list[tuple[str, BaseException]] = []
        self.network.on_failure = lambda *what: self.broken.append(what)
        for name in names:
            self.connect(name)

    def connect(self, name: str) -> None:
        node = cast(Node, self.echoes[name])
        self.network.connect(Endpoint(name, node, self.processes[name]))

    def send(self, source: str, target: str, message: Any) -> None:
        sender = NetworkSender(self.network, source, self.processes[source])
        url = URL(f'simulation://{target}')
        sender.urls = [url]

        async def send() -> None:
            try:
                answer = await sender.send(kind=KIND, message=message, url=url)
            except ReceiverUnavailable as error:
                self.failures.append((message, str(error)))
            else:
                self.answers.append((answer, self.timeline.now))

        self.processes[source].create_task(send())

    def crash(self, name: str) -> None:
        self.network.disconnect(name)
        self.processes[name].kill()

    def heard(self, source: str, target: str) -> bool:
        """Send a message; tell whether it was heard within a second."""
        message = f'{source}{target} at {self.timeline.now}'
        self.send(source, target, message)
        self.timeline.run(1.0)
        return message in self.echoes[target].heard


def test_message_goes_and_its_answer_comes_within_the_latency() -> None:
    net = Net('ab')
    net.send('a', 'b', {'number': 1})
    net.timeline.run(1.0)
    ((answer, at),) = net.answers
    assert answer == {'echo': {'number': 1}}
    assert 0 < at <= 2 * LATENCY
    assert (net.network.carried, net.network.lost) == (1, 0)


def test_messages_are_text_on_their_way() -> None:
    """Nothing that one node changes afterwards is seen by the other."""
    net, message = Net('ab'), {'items': [1]}
    net.send('a', 'b', message)
    net.timeline.run(0.0)
    message['items'].append(2)
    net.timeline.run(1.0)
    assert net.echoes['b'].heard == [{'items': [1]}]
    assert net.answers[0][0]['echo'] is not net.echoes['b'].heard[0]


def test_sender_sends_to_those_alone_whom_its_node_knows() -> None:
    net = Net('ab')
    sender = NetworkSender(net.network, 'a', net.processes['a'])
    call = sender.send(kind=KIND, message=1, url=URL('simulation://b'))
    with pytest.raises(ReceiverUnavailable, match='none of the nodes that a knows'):
        call.send(None)


# cuts


def test_partition_separates_both_ways_until_it_is_mended() -> None:
    net = Net('abcd')
    links = net.network.partition(['ab', 'cd'])
    assert sorted(links) == [(x, y) for x, y in pairs('abcd') if (x in 'ab') != (y in 'ab')]
    assert {pair for pair in pairs('abcd') if net.heard(*pair)} == {*pairs('ab'), *pairs('cd')}
    net.network.mend(links)
    assert all(net.heard(*pair) for pair in pairs('abcd'))


def test_node_in_two_groups_is_a_bridge_and_one_in_none_hears_everybody() -> None:
    net = Net('abcd')
    net.network.partition(['ab', 'bc'])
    silent = {pair for pair in pairs('abcd') if not net.heard(*pair)}
    assert silent == {('a', 'c'), ('c', 'a')}


def test_one_way_cut_lets_the_other_way_through() -> None:
    """The request arrives, and its answer does not; or the request does not."""
    net = Net('ab')
    net.network.cut([('b', 'a')])
    assert net.heard('a', 'b')
    assert not net.heard('b', 'a')
    assert (net.answers, net.failures) == ([], [])
    net.network.mend([('b', 'a')])
    assert net.heard('b', 'a')
    assert len(net.answers) == 1


def test_refusing_cut_tells_the_sender_and_a_silent_one_never_does() -> None:
    net = Net('abc')
    net.network.cut([('a', 'b'), ('c', 'a')], is_refusing=True)
    net.network.cut([('b', 'c')])
    for source, target in 'ab', 'ac', 'bc':
        net.send(source, target, source + target)
    net.timeline.run(1000.0)
    assert sorted(net.failures) == [('ab', 'no way from a to b'), ('ac', 'no way from c to a')]
    assert (net.answers, net.network.lost) == ([], 3)


def test_what_is_on_its_way_when_a_link_is_cut_is_lost() -> None:
    net = Net('ab')
    net.network.disturb(Noise(delay=1.0))
    net.send('a', 'b', 1)
    net.timeline.run(0.001)
    net.network.cut([('a', 'b')])
    net.timeline.run(5.0)
    assert (net.echoes['b'].heard, net.network.lost) == ([], 1)


def test_what_was_sent_into_a_cut_is_lost_although_it_is_mended_meanwhile() -> None:
    net = Net('ab')
    links = net.network.partition(['a', 'b'])
    net.send('a', 'b', 1)
    net.timeline.run(0.0)
    net.network.mend(links)
    net.timeline.run(5.0)
    assert (net.echoes['b'].heard, net.network.lost) == ([], 1)


def test_healing_ends_all_faults_of_the_network() -> None:
    net = Net('ab')
    net.network.partition(['a', 'b'])
    net.network.disturb(Noise(drop=1.0))
    net.network.disturb(Noise(drop=1.0), 'a', 'b')
    net.network.heal()
    assert net.heard('a', 'b')
    assert len(net.answers) == 1


# noise


def test_some_messages_and_some_answers_are_dropped() -> None:
    net = Net('ab')
    net.network.disturb(Noise(drop=0.3))
    for number in range(200):
        net.send('a', 'b', number)
    net.timeline.run(10.0)
    heard, answered = len(net.echoes['b'].heard), len(net.answers)
    assert 110 < heard < 170
    assert 70 < answered < heard
    assert net.network.lost == 200 - answered
    assert net.failures == []


def test_some_messages_come_twice_and_are_answered_once() -> None:
    net = Net('ab')
    net.network.disturb(Noise(duplicate=0.5))
    for number in range(100):
        net.send('a', 'b', number)
    net.timeline.run(10.0)
    times = Counter(net.echoes['b'].heard)
    assert {*times.values()} == {1, 2}
    assert len(times) == len(net.answers) == 100


def test_late_messages_overtake_each_other() -> None:
    net = Net('ab')
    net.network.disturb(Noise(delay=1.0))
    for number in range(50):
        net.send('a', 'b', number)
        net.timeline.run(0.001)
    net.timeline.run(10.0)
    heard = net.echoes['b'].heard
    assert heard != sorted(heard) == [*range(50)]
    assert max(at for _, at in net.answers) <= 0.05 + 2 * (1.0 + LATENCY)


def test_noise_of_one_link_leaves_the_others_alone() -> None:
    net = Net('abc')
    net.network.disturb(Noise(drop=1.0), 'a', 'b')
    assert {pair for pair in pairs('abc') if not net.heard(*pair)} == {('a', 'b')}
    net.network.disturb(Noise(drop=1.0))
    net.network.disturb(Noise(), 'a', 'b')
    assert {pair for pair in pairs('abc') if net.heard(*pair)} == {('a', 'b')}


def test_links_do_not_share_their_luck() -> None:
    """What one link carries does not change how messages fare on another."""

    def fate(extra: int) -> list[Any]:
        net = Net('abc', seed=5)
        net.network.disturb(Noise(drop=0.5))
        for number in range(20):
            for _ in range(extra):
                net.send('a', 'c', 'extra')
            net.send('a', 'b', number)
            net.timeline.run(1.0)
        return net.echoes['b'].heard

    assert fate(0) == fate(3)
    assert 0 < len(fate(0)) < 20


@pytest.mark.parametrize('seed', range(3))
def test_seed_decides_how_messages_fare(seed: int) -> None:
    def fate(seed: int) -> list[tuple[Any, float]]:
        net = Net('ab', seed)
        net.network.disturb(Noise(drop=0.2, duplicate=0.2, delay=0.1))
        for number in range(20):
            net.send('a', 'b', number)
        net.timeline.run(10.0)
        return net.answers

    assert fate(seed) == fate(seed)
    assert fate(seed) != fate(seed + 1)


# who is there


def test_nobody_is_at_a_name_that_is_not_connected() -> None:
    net = Net('ab')
    net.crash('b')
    net.send('a', 'b', 1)
    net.timeline.run(1.0)
    assert net.failures == [(1, 'nobody is at b')]
    assert net.network.endpoint('b') is None


def test_restarted_node_is_reached_by_what_was_sent_before_it_crashed() -> None:
    net = Net('ab')
    net.network.disturb(Noise(delay=1.0))
    net.send('a', 'b', 1)
    net.timeline.run(0.0)
    net.crash('b')
    net.processes['b'] = Process(net.timeline)
    net.connect('b')
    net.timeline.run(5.0)
    assert [answer for answer, _ in net.answers] == [{'echo': 1}]


def test_node_that_crashes_before_it_answers_never_does() -> None:
    net = Net('ab')
    net.send('a', 'b', 1)
    net.timeline.run_until(lambda: net.network.carried == 1, 1.0)
    net.crash('b')
    net.timeline.run(5.0)
    assert (net.answers, net.failures, net.broken) == ([], [], [])


def test_message_of_a_crashed_sender_arrives_all_the_same() -> None:
    net = Net('ab')
    net.send('a', 'b', 1)
    net.timeline.run(0.0)
    net.crash('a')
    net.timeline.run(5.0)
    assert (net.echoes['b'].heard, net.answers) == ([1], [])


def test_crashed_node_sends_nothing_more() -> None:
    net = Net('ab')
    net.crash('a')
    sender = NetworkSender(net.network, 'a', net.processes['a'])
    url = URL('simulation://b')
    sender.urls = [url]
    with pytest.raises(ReceiverUnavailable, match='a has crashed'):
        sender.send(kind=KIND, message=1, url=url).send(None)
    net.timeline.run(5.0)
    assert net.echoes['b'].heard == []


def test_paused_node_answers_when_it_goes_on() -> None:
    net = Net('ab')
    net.processes['b'].pause()
    net.send('a', 'b', 1)
    net.timeline.run(5.0)
    assert (net.echoes['b'].heard, net.answers) == ([], [])
    net.processes['b'].resume()
    net.timeline.run(1.0)
    assert net.echoes['b'].heard == [1]
    assert len(net.answers) == 1


def test_stopped_node_is_unavailable_and_one_that_fails_is_reported() -> None:
    net = Net('ab')
    net.echoes['b'].error = NodeStopped('start() it first')
    net.send('a', 'b', 1)
    net.timeline.run(1.0)
    assert net.failures == [(1, 'b is stopped: start() it first')]
    assert net.broken == []
    net.echoes['b'].error = KeyError('a bug')
    net.send('a', 'b', 2)
    net.timeline.run(1.0)
    assert net.failures[1:] == [(2, "b failed: KeyError('a bug')")]
    assert net.broken == [('b', net.echoes['b'].error)]


def pairs(names: str) -> list[tuple[str, str]]:
    return [(x, y) for x in names for y in names if x != y]
