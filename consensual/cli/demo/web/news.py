"""What changed on a node, in words."""

from collections.abc import Iterator

from consensual.cli.demo.web.network import name_of, names_of
from consensual.raft import NodeStatus


def news(before: NodeStatus, after: NodeStatus) -> Iterator[str]:
    """Yield what there is to tell between two statuses of a node."""
    name = name_of(after.url)
    if after.role != before.role:
        yield from _news_of_role(name, before, after)
    if after.role == 'leader' and before.role == 'leader':
        yield from _news_of_members(before, after)


def _news_of_role(name: str, before: NodeStatus, after: NodeStatus) -> Iterator[str]:
    match after.role:
        case 'leader':
            yield f'{name} is the leader of term {after.term}'
        case 'pre_candidate':
            yield f'{name} hears no leader: pre-vote for term {after.term + 1}'
        case 'candidate':
            yield f'{name} is a candidate in term {after.term}'
        case 'detached':
            yield f'{name} is detached, and keeps its log'
        case 'follower' if before.role == 'leader' and after.term == before.term:
            yield f'{name} reaches no majority, and steps down'
        case 'follower' if before.role == 'leader':
            yield f'{name} learns of term {after.term}, and steps down'
        case 'follower' if before.role == 'detached':
            yield f'{name} receives the log of the leader'


def _news_of_members(before: NodeStatus, after: NodeStatus) -> Iterator[str]:
    learners = set(names_of(after.learners)) - set(names_of(before.learners))
    if learners:
        yield f'{_list(learners)}: a learner, until caught up'
    if before.stable and not after.stable:
        yield 'joint consensus: both majorities decide'
    if after.stable and set(after.voters) != set(before.voters):
        yield f'the voters are {_list(set(names_of(after.voters)))}'


def _list(names: set[str]) -> str:
    return ', '.join(sorted(names))
