"""Three nodes over the transport of unix_transport.py; they could be three processes as well."""

import asyncio
from tempfile import TemporaryDirectory

from unix_transport import UnixReceiver, UnixSender
from yarl import URL

from consensual.machines import KeyValueStore
from consensual.raft import Node


async def main(folder: str) -> None:
    urls = [URL(f'unix://{name}{folder}/{name}.sock') for name in ('n1', 'n2', 'n3')]
    nodes = [Node.from_url(url, sender=UnixSender(), state_machine=KeyValueStore()) for url in urls]
    receivers = [UnixReceiver(node) for node in nodes]
    for receiver in receivers:
        await receiver.start()
    print('founded:', await nodes[0].solo())
    print('grown to three:', await nodes[0].attach_nodes(urls[1:]))
    await nodes[1].execute('put', {'key': 'colour', 'value': 'red'})
    print('the third node reads', (await nodes[2].query('get', {'key': 'colour'}))['value'])
    for node, receiver in zip(nodes, receivers, strict=True):
        await node.stop()
        await receiver.stop()


with TemporaryDirectory() as folder:
    asyncio.run(main(folder))
