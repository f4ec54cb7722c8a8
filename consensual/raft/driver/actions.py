"""The actions of a node: functions by name, and what they want to be given."""

import inspect
from collections.abc import Mapping
from typing import Any, Optional

from consensual.raft.driver.ports import Processor, StateMachine
from consensual.raft.errors import InvalidParameters, UnknownAction


def actions_of(
    processors: Optional[Mapping[str, Processor]], state_machine: Optional[StateMachine]
) -> dict[str, Processor]:
    """Return all actions by name. Raises `InvalidParameters` for what is none."""
    if processors is not None and not isinstance(processors, Mapping):
        raise InvalidParameters(
            f'processors are functions by name, not {processors!r}; an object with `processors` '
            'and `reset()` is given as state_machine='
        )
    actions = {} if processors is None else dict(processors)
    of_machine = {} if state_machine is None else getattr(state_machine, 'processors', None)
    if not isinstance(of_machine, Mapping):
        raise InvalidParameters(
            f'a state machine has `processors`, functions by name, and `reset()`; '
            f'{state_machine!r} is none'
        )
    for name, processor in of_machine.items():
        if name in actions:
            raise InvalidParameters(
                f'{name!r} is among the processors and the state machine has it, too'
            )
        actions[name] = processor
    for name, processor in actions.items():
        if not isinstance(name, str) or not callable(processor):
            raise InvalidParameters(
                f'processors are functions by name, not {processor!r} by {name!r}'
            )
    return actions


def takes_context(processor: Processor) -> bool:
    """Tell whether a processor wants to be given a `Context`."""
    try:
        parameter = inspect.signature(processor).parameters.get('context')
    except (TypeError, ValueError):  # a builtin without a signature
        return False
    return parameter is not None and parameter.kind is inspect.Parameter.KEYWORD_ONLY


def check_action(action: Any, processors: Mapping[str, Processor], node_id: str) -> None:
    """Raise `UnknownAction` for what is no processor of a node."""
    if not isinstance(action, str) or action not in processors:
        raise UnknownAction(
            f'{action!r} is no processor of {node_id}; there are {sorted(processors)}'
        )
