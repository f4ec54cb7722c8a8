"""The contract of a transport, as tests: subclass `TransportConformance`, and pytest runs them.

Looks through the Sender and Receiver ports only, as nodes do; knows no transport from inside.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from random import Random
from typing import Any, Optional, Union

import pytest
from yarl import URL

from consensual.raft.driver.ports import Endpoint, MessageKind, Receiver, Sender
from consensual.raft.errors import ConsensualError, InvalidMessage, NodeStopped
from consensual.testing.conformance.links import Answer, Links, Member, StandIn, difference, failing
from consensual.testing.ports import free_url

MESSAGES: tuple[dict[str, Any], ...] = (
    {},
    {'': ''},
    {'nothing': None, 'yes': True, 'no': False, 'one': 1, 'zero': 0, 'float': 1.0},
    {'ints': [-1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63)]},
    {'floats': [0.1, -0.5, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789]},
    {'text': 'naïve «日本語» \U0001f5f3\ufe0f "quoted" \\ back\nslash \r\n \x00 \u2028 \x7f'},
    {'ключ': 'unicode in keys', 'a b': 1, 'a.b': 2, '$ref': 3, 'type': 'x', '0': 4},
    {'nested': [[], {}, [[]], [{}], {'a': {'b': {'c': [{'d': [[1, [2, [3]]]]}]}}}]},
    {'json in json': '{"a": [1, null, "\\u0000 \\" \\\\"]}', 'more': 'bytes as text: AAEC/w=='},
    {'many': [{'term': number, 'payload': ['command', number]} for number in range(1000)]},
)
"""Dicts of JSON types, each of a sort that some encoding stumbles over."""


class TransportConformance:
    """Subclass it and say how to make yours; each test is one rule of the two ports.

        class TestMyTransport(TransportConformance):
            def make_sender(self, url):
                return MySender(url)

            def make_receiver(self, endpoint):
                return MyReceiver(endpoint)

    patience: seconds after which the suite takes for lost what has not come.
    heartbeat: seconds between a leader's messages in the tests with real nodes.

    `make_sender`, `make_receiver` and `release` may be async. Each test is run on an
    object of its own.

    Not asked for, as nodes cope without: that a message arrives once and in order; that
    what the receiver does to a message is hidden from the sender.
    """

    pytestmark = pytest.mark.asyncio

    patience: float = 20.0
    heartbeat: float = 0.1

    # hooks

    def url(self, name: str) -> URL:  # noqa: ARG002
        """Return where the node of that name is to be; asked once for each node of a test.

        Unless overridden, a free port of this host, by http.
        """
        return free_url()

    def make_sender(self, url: URL) -> Union[Sender, Awaitable[Sender]]:
        """Return a Sender for the node at that URL; the suite assigns its `urls`."""
        raise NotImplementedError('say how to make a Sender: def make_sender(self, url)')

    def make_receiver(self, endpoint: Endpoint) -> Union[Receiver, Awaitable[Receiver]]:
        """Return a Receiver, not started, that takes messages at `endpoint.url` for it."""
        raise NotImplementedError('say how to make a Receiver: def make_receiver(self, endpoint)')

    def release(self, sender: Sender) -> Optional[Awaitable[None]]:
        """Let go what a Sender holds; called at the end of the test, as the port has no close."""

    # what is said arrives

    async def test_message_arrives_as_it_was_sent(self) -> None:
        """A dict of JSON types arrives equal, ints as ints and floats as floats."""
        async with Links(self) as links:
            sender, stand_in = await links.pair()
            for number, message in enumerate(MESSAGES):
                await links.send(sender, 'a', message)
                assert len(stand_in.arrived) > number, f'{message!r:.80} did not arrive'
                found = difference(message, stand_in.arrived[-1][1])
                assert found is None, f'a message must arrive as it was sent; {found}'

    async def test_reply_comes_back_as_it_was_given(self) -> None:
        """A reply is another dict of JSON types, and not the message."""
        async with Links(self) as links:
            sender, stand_in = await links.pair()
            for given in MESSAGES:
                stand_in.answer = _always(given)
                reply = await links.send(sender, 'a', {'what': 'else'})
                found = difference(given, reply)
                assert found is None, f'a reply must come back as it was given; {found}'

    async def test_kind_arrives_as_a_message_kind(self) -> None:
        """Each kind arrives beside its message, as the member of the enumeration."""
        async with Links(self) as links:
            sender, stand_in = await links.pair()
            for sent in MessageKind:
                await links.send(sender, 'a', {'number': int(sent)}, kind=sent)
                kind, message = stand_in.arrived[-1]
                assert message == {'number': sent}, f'{sent!r} did not arrive'
                assert isinstance(kind, MessageKind), (
                    f'the kind must arrive as a MessageKind, not as {kind!r}'
                )
                assert kind == sent, f'{sent!r} arrived as {kind!r}'

    async def test_large_messages_are_carried(self) -> None:
        """Batches have 256 KiB, a single command up to 1 MiB of JSON text, more once escaped."""
        size = 1 << 20
        async with Links(self) as links:
            sender, _ = await links.pair()
            for message in (
                {'entries': [{'number': number, 'text': 'x' * 100} for number in range(3000)]},
                {'entries': [['x' * size]]},
                {'entries': [['"\\' * (size // 2)]]},
                {'entries': [['日' * (size // 3)]]},
            ):
                reply = await links.send(sender, 'a', message)
                found = difference(message, reply)
                assert found is None, f'a large message must come through; {found}'

    async def test_each_of_many_concurrent_sends_gets_its_own_reply(self) -> None:
        """Two hundred calls to two nodes, answered out of order: each gets what it asked for."""
        random = Random(1)  # noqa: S311 - to be repeated

        async def answer(message: Any) -> Any:
            for _ in range(random.randrange(20)):
                await asyncio.sleep(0)
            return {'answer': message['number']}

        async with Links(self) as links:
            for name in 'ab':
                await links.listener(name, answer)
            sender = await links.sender('a', 'b')
            replies = await asyncio.gather(
                *(links.send(sender, 'ab'[n % 2], {'number': n}) for n in range(200))
            )
            for number, reply in enumerate(replies):
                assert reply == {'answer': number}, f'call {number} was given {reply!r:.80}'

    # whom it is said to

    async def test_url_that_is_not_among_urls_is_refused(self) -> None:
        """The node says whom it may send to: others get nothing, though they listen."""
        async with Links(self) as links:
            _, stranger = await links.listener('stranger')
            await links.listener('a')
            sender = await links.sender('a')
            await links.check_unavailable(sender, 'stranger', 'to a URL that is not in sender.urls')
            assert not stranger.arrived, 'to a URL that is not in sender.urls nothing may be sent'
            await links.send(sender, 'a', {})

    async def test_urls_hold_as_soon_as_they_are_assigned(self) -> None:
        """`urls` is assigned whenever membership changes, as any collection."""
        async with Links(self) as links:
            for name in 'ab':
                await links.listener(name)
            sender = await links.sender()
            for collection in (frozenset, list, tuple):
                for name, other in ('ab', 'ba'):
                    sender.urls = collection([links.url(name)])
                    assert await links.send(sender, name, {'to': name}) == {'to': name}
                    await links.check_unavailable(
                        sender, other, 'to a URL no longer in sender.urls'
                    )

    async def test_nobody_is_there(self) -> None:
        """Where nobody receives, send raises ReceiverUnavailable: at first and ever again."""
        async with Links(self) as links:
            await links.receiver('a')
            sender = await links.sender('a', 'nobody')
            for _ in range(3):
                await links.check_unavailable(sender, 'nobody', 'to where nobody is')
                await links.check_unavailable(sender, 'a', 'to a receiver that was never started')

    # the life of a receiver

    async def test_receiver_is_running_between_start_and_stop(self) -> None:
        """`is_running` is False before start, True after it, False after stop."""
        async with Links(self) as links:
            receiver, _ = await links.receiver('a')
            for _ in range(2):
                assert receiver.is_running is False, 'is_running must be False before start'
                await links.start(receiver)
                assert receiver.is_running is True, 'is_running must be True after start'
                await links.stop(receiver)
                assert receiver.is_running is False, 'is_running must be False after stop'

    async def test_stopped_receiver_takes_no_messages(self) -> None:
        """After stop nothing reaches the node, on connections made before neither."""
        async with Links(self) as links:
            receiver, stand_in = await links.listener('a')
            sender = await links.sender('a')
            await links.send(sender, 'a', {'before': 'stop'})
            await links.stop(receiver)
            count = len(stand_in.arrived)
            await links.check_unavailable(sender, 'a', 'to a receiver that was stopped')
            await links.check_unavailable(await links.sender('a'), 'a', 'to a stopped receiver')
            assert len(stand_in.arrived) == count, 'a stopped receiver must take no more messages'

    async def test_stopped_receiver_can_be_started_again(self) -> None:
        """And those who knew it before find it at the same URL."""
        async with Links(self) as links:
            receiver, _ = await links.listener('a')
            sender = await links.sender('a')
            for life in range(3):
                reply = await links.send(sender, 'a', {'life': life})
                assert reply == {'life': life}, f'start {life + 1} of a receiver: {reply!r:.80}'
                await links.stop(receiver)
                await links.check_unavailable(sender, 'a', 'between stop and the next start')
                await links.start(receiver)

    async def test_stop_of_what_is_stopped_does_nothing(self) -> None:
        """Before the first start, too; it raises nothing and start works after it."""
        async with Links(self) as links:
            receiver, _ = await links.receiver('a')
            sender = await links.sender('a')
            for _ in range(2):
                for _ in range(2):
                    try:
                        await links.stop(receiver)
                    except Exception as error:
                        raise AssertionError(f'stop again must do nothing: {error!r}') from error
                await links.start(receiver)
                assert await links.send(sender, 'a', {'still': 'works'}) == {'still': 'works'}

    async def test_start_of_what_is_running_raises_runtime_error(self) -> None:
        """And it goes on running, as before; one stop is enough."""
        async with Links(self) as links:
            receiver, _ = await links.listener('a')
            sender = await links.sender('a')
            await _check_raises(RuntimeError, links.start(receiver), 'start of a running receiver')
            assert receiver.is_running, 'a receiver whose second start was refused goes on running'
            assert await links.send(sender, 'a', {'still': 'works'}) == {'still': 'works'}
            await links.stop(receiver)
            await links.check_unavailable(sender, 'a', 'to a receiver started twice, stopped once')

    async def test_address_that_is_taken_raises_os_error(self) -> None:
        """Who has it keeps it; when it is free again, the other one can start."""
        async with Links(self) as links:
            first, _ = await links.listener('a', _always({'from': 'first'}))
            second, _ = await links.receiver('a', _always({'from': 'second'}))
            sender = await links.sender('a')
            for _ in range(2):
                await _check_raises(OSError, links.start(second), 'start at an address in use')
                assert not second.is_running, 'a receiver without its address is not running'
                assert await links.send(sender, 'a', {}) == {'from': 'first'}
                await links.stop(second)
                assert await links.send(sender, 'a', {}) == {'from': 'first'}
            await links.stop(first)
            await links.start(second)
            assert await links.send(sender, 'a', {}) == {'from': 'second'}

    # what a node raises

    async def test_stopped_node_is_unavailable(self) -> None:
        """NodeStopped, raised by the node, is ReceiverUnavailable for the sender."""
        async with Links(self) as links:
            sender, stand_in = await links.pair(failing(NodeStopped('the node was stopped')))
            for _ in range(3):
                await links.check_unavailable(sender, 'a', 'to a node that is stopped')
            await _check_lives(links, sender, stand_in)

    async def test_errors_of_consensual_end_one_send(self) -> None:
        """What the node refuses is a ConsensualError for the sender, and the receiver goes on.

        ReceiverUnavailable does, as does the error itself; a reply does not: the node that
        asked would take it for the answer.
        """
        async with Links(self) as links:
            sender, stand_in = await links.pair()
            for error in (InvalidMessage('version?'), ConsensualError('the disk is full')):
                stand_in.answer = failing(error)
                sending = links.attempt(sender, 'a', {'refused': True})
                await _check_raises(ConsensualError, sending, f'send to who raises {error!r}')
                await _check_lives(links, sender, stand_in)

    async def test_other_errors_end_one_send(self) -> None:
        """A bug in a node is an exception for the sender, any, and the receiver goes on."""
        async with Links(self) as links:
            sender, stand_in = await links.pair()
            for error in (ValueError('boom'), KeyError('boom'), OSError('boom'), TimeoutError()):
                stand_in.answer = failing(error)
                sending = links.attempt(sender, 'a', {'refused': True})
                await _check_raises(Exception, sending, f'send to who raises {error!r}')
                await _check_lives(links, sender, stand_in)

    # one does not disturb another

    async def test_cancelled_send_ends_and_harms_nobody(self) -> None:
        """A node cancels what takes longer than its election timeout; others go on."""
        silence = asyncio.Event()
        heard = asyncio.Event()

        async def answer(message: Any) -> Any:
            if message.get('wait'):
                heard.set()
                await silence.wait()
            return message

        async with Links(self) as links:
            sender, stand_in = await links.pair(answer)
            try:
                for number in range(3):
                    heard.clear()
                    sending = asyncio.ensure_future(
                        sender.send(
                            kind=MessageKind.REQUEST_VOTE, message={'wait': True}, url=stand_in.url
                        )
                    )
                    await links.soon(heard.wait(), 'the message')
                    sending.cancel()
                    await asyncio.wait([sending], timeout=self.patience)
                    assert sending.cancelled(), (
                        'a send that is cancelled must end, by CancelledError'
                    )
                    reply = await links.send(sender, 'a', {'number': number})
                    assert reply == {'number': number}, f'after a cancelled send: {reply!r:.80}'
            finally:
                silence.set()

    async def test_silent_node_delays_no_other(self) -> None:
        """Twenty messages, more than a node has under way, hang: those to others do not."""
        silence = asyncio.Event()

        async def keep_silent(message: Any) -> Any:
            await silence.wait()
            return message

        async with Links(self) as links:
            await links.listener('silent', keep_silent)
            await links.listener('a')
            sender = await links.sender('silent', 'a')
            url = links.url('silent')
            unanswered = [
                asyncio.ensure_future(
                    sender.send(kind=MessageKind.APPEND_ENTRIES, message={}, url=url)
                )
                for _ in range(20)
            ]
            try:
                for number in range(20):
                    reply = await links.send(sender, 'a', {'number': number})
                    assert reply == {'number': number}, f'beside a silent node: {reply!r:.80}'
            finally:
                silence.set()
                for sending in unanswered:
                    sending.cancel()
                await asyncio.gather(*unanswered, return_exceptions=True)

    # nodes on it

    async def test_nodes_form_a_cluster_and_agree(self) -> None:
        """Commands go in on every node; members are detached and attached; all agree."""
        async with Links(self) as links:
            members = await _cluster(links)
            commands: list[Any] = [[name, number] for number in range(10) for name in 'abc']
            for command in commands:
                await _keep(links, members[command[0]], command)
            await _check_agree(links, members, commands)
            members['d'] = await links.member('d')
            leaving, coming = members['c'].node.url, members['d'].node.url
            await _check_done(links, members['b'].node.detach_nodes([leaving]), 'detach_nodes')
            await _check_done(links, members['b'].node.attach_nodes([coming]), 'attach_nodes')
            del members['c']
            for name in members:
                await _keep(links, members[name], f'{name}, later')
                commands.append(f'{name}, later')
            await _check_agree(links, members, commands)

    async def test_nodes_elect_another_leader_when_theirs_stops(self) -> None:
        """And take the old one in again when it comes back at the same URL."""
        async with Links(self) as links:
            members = await _cluster(links)
            commands: list[Any] = []
            for number in range(3):
                old = members['a'].node.status.leader
                assert old is not None, 'a cluster at rest has a leader'
                stopped = next(member for member in members.values() if member.node.url == old)
                rest = {name: one for name, one in members.items() if one is not stopped}
                await links.soon(stopped.node.stop(), 'the stop of the leader')
                await links.stop(stopped.receiver)
                for name, member in rest.items():
                    await links.soon(member.until_led_by_another(old), 'another leader')
                    await _keep(links, member, [name, number])
                    commands.append([name, number])
                await links.start(stopped.receiver)
                await links.soon(stopped.node.start(), 'the start of the old leader')
                await _check_agree(links, members, commands)


async def _cluster(links: Links) -> dict[str, Member]:
    """Return three members of a cluster, by name."""
    members = {name: await links.member(name) for name in 'abc'}
    a, *others = (member.node for member in members.values())
    await _check_done(links, a.solo(), 'solo')
    await _check_done(links, a.attach_nodes([node.url for node in others]), 'attach_nodes')
    return members


async def _keep(links: Links, member: Member, command: Any) -> None:
    await _check_done(links, member.node.enqueue('keep', command), 'enqueue')


async def _check_done(links: Links, call: Awaitable[Optional[str]], what: str) -> None:
    text = await links.soon(call, f'the end of {what}')
    assert text is None, f'{what} on nodes over this transport: {text}'


async def _check_agree(links: Links, members: Mapping[str, Member], commands: list[Any]) -> None:
    """Every member has applied these, once each, in that order."""
    for name, member in members.items():
        await links.soon(member.node.ensure_linearizable(), 'a linearizable state')
        assert member.kept == commands, f'{name} applied {member.kept}, not {commands}'


def _always(reply: Any) -> Answer:
    async def answer(_: Any) -> Any:
        return reply

    return answer


async def _check_raises(expected: type[Exception], call: Awaitable[Any], what: str) -> None:
    try:
        result = await call
    except AssertionError:
        raise
    except expected:
        return
    except Exception as error:
        raise AssertionError(f'{what} must raise {expected.__name__}, not {error!r}') from error
    raise AssertionError(f'{what} must raise {expected.__name__}; it returned {result!r:.200}')


async def _check_lives(links: Links, sender: Sender, stand_in: StandIn) -> None:
    """The receiver goes on after an error of the node's."""
    stand_in.answer = _always({'it': 'lives'})
    reply = await links.send(sender, 'a', {'after': 'an error of the node'})
    assert reply == {'it': 'lives'}, f'after an error of the node came {reply!r:.80}'
