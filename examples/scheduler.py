"""A job that the leader runs, again and again: each run is claimed in the log, and fenced.

To lead is no lock: a leader that was paused goes on beside its successor until it notices.
So each run has a token that grows, and what the job changes refuses an older one.
"""

import asyncio
from typing import Any

from yarl import URL

from consensual.machines import KeyValueStore
from consensual.raft import Node, communication
from consensual.raft.errors import ClusterError, OutcomeUnknown

books = [(0, 'opened')]  # what the job changes, with the token of who did


async def job(node: Node, run: int, token: int) -> None:
    while (node.url.host, run) == ('a', 3) and len(books) < 6:  # is suspended: b leads meanwhile
        await node.transfer_leadership(URL('memory://b'))
        await asyncio.sleep(0.01)
    if token < books[-1][0]:
        raise PermissionError(f'{node.url.host} is too late for run {run}: nothing was changed')
    books.append((token, f'run {run} by {node.url.host}'))


async def schedule(node: Node) -> None:
    """Run the job whenever this node leads; each member does this."""
    async for status in node.watch():
        while status.role == node.status.role == 'leader':
            try:
                runs = await node.query('get', {'key': 'runs'})  # {'value': …, 'version': …}
                claim = await node.execute('cas', {'key': 'runs', **runs})  # the same value
                if claim['succeeded']:
                    run, token = runs['value'] + 1, claim['version']  # the claim's place in the log
                    await job(node, run, token)
                    await node.execute('cas', {'key': 'runs', 'value': run, 'version': token})
            except (ClusterError, OutcomeUnknown, PermissionError) as error:
                print(error)  # look again: a run whose leader was lost amid it is begun again
            await asyncio.sleep(0.1)  # until the next run


async def main() -> None:
    cluster, nodes = dict[str, Any](), []
    for url in map(URL, ('memory://a', 'memory://b', 'memory://c')):
        sender = communication.Sender([url], cluster)
        nodes.append(Node.from_url(url, sender=sender, state_machine=KeyValueStore()))
        communication.Receiver(nodes[-1], cluster).start()
    await nodes[0].solo()
    await nodes[0].attach_nodes([node.url for node in nodes[1:]])
    await nodes[0].execute('put', {'key': 'runs', 'value': 0})
    tasks = [asyncio.create_task(schedule(node)) for node in nodes]
    while len(books) < 7 and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)
    print(*[line for _, line in books[:7]], sep='\n')


asyncio.run(main())
