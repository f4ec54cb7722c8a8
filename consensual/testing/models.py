"""Models: what an object does when its operations come one after another.

Each is a sequential specification, to compare concurrent histories with. No
history and no search here.

==========  ==========================================  ===================================
model       request                                     output
==========  ==========================================  ===================================
Register    ('read',)                                   the value
Register    ('write', value)                            None
KeyValue    ('get', key)                                the value, None when there is none
KeyValue    ('put', key, value)                         None
KeyValue    ('delete', key)                             whether there was a value
KeyValue    ('cas', key, expected, value)               whether the value was the expected
Counter     ('get',)                                    the total
Counter     ('add', amount)                             the new total, or None
Queue       ('enqueue', item)                           None
Queue       ('dequeue',)                                the oldest item, None when empty
Lock        ('acquire', lock, owner)                    whether the lock was free
Lock        ('release', lock, owner)                    whether the owner had it
==========  ==========================================  ===================================
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from consensual.testing.operation import Raised, frozen

State = TypeVar('State', bound=Hashable)


class Model(ABC, Generic[State]):
    """What a system shall be like. Extend it with `init` and `step`; the rest has defaults.

    States are hashable and never changed: a step returns another one. Requests
    arrive with lists as tuples, also inside, and dicts hashable.
    """

    @abstractmethod
    def init(self) -> State:
        """Return the state before the first operation, of every partition."""

    @abstractmethod
    def step(self, state: State, request: Any) -> tuple[State, Any]:
        """Return the state after the operation, and what its caller is to be told.

        Deterministic, and without effect on anything else. An operation that
        raises outputs a `Raised`. Call `refuse` for a request of no meaning.
        """

    def allows(self, request: Any, expected: Any, output: Any) -> bool:  # noqa: ARG002
        """Tell whether a caller may be told `output` where a step says `expected`.

        Equality, by default. Override it where less is promised: an error whose
        text does not matter, an output that nobody recorded.
        """
        return bool(expected == output or frozen(expected) == output)

    def partition(self, request: Any) -> Hashable:  # noqa: ARG002
        """Return the independent part of the state that the operation is about.

        Parts are checked one by one, which is much faster (P-compositionality:
        Horn & Kroening, "Faster linearizability checking via P-compositionality",
        2015, §3). No operation may depend on two of them. One part by default.
        """
        return None

    def is_reading(self, request: Any, output: Any) -> bool:  # noqa: ARG002
        """Tell whether an operation that was told `output` leaves every state as it is.

        Makes searches faster: say True of reads, and of what says that it did
        nothing, such as a failed compare-and-set. False is always right.
        """
        return False

    def describe(self, request: Any) -> str:
        """Return the operation as a reader of a counter-example wants to see it."""
        match request:
            case (str(name), *parameters):
                return f'{name}({", ".join(map(repr, parameters))})'
        return repr(request)

    def describe_output(self, output: Any) -> str:
        """Return what a caller was told, for a reader of a counter-example."""
        return f'an error: {output.text}' if isinstance(output, Raised) else repr(output)

    def describe_state(self, state: State) -> str:
        """Return the state, for a reader of a counter-example."""
        return repr(state)

    def refuse(self, request: Any) -> NoReturn:
        """Raise `ValueError`: the history has an operation that the model does not know."""
        raise ValueError(
            f'{type(self).__name__} has no operation {request!r}: see its documentation'
        )


@dataclass(frozen=True)
class Register(Model[Hashable]):
    """One value, read and written. initial: the value before the first write."""

    initial: Hashable = None

    def init(self) -> Hashable:
        """Return the initial value."""
        return self.initial

    def step(self, state: Hashable, request: Any) -> tuple[Hashable, Any]:
        """Read the value written last, or write one."""
        match request:
            case ('read',):
                return state, state
            case ('write', value):
                return value, None
        self.refuse(request)

    def is_reading(self, request: Any, output: Any) -> bool:  # noqa: ARG002
        """A read does."""
        return bool(request == ('read',))


class KeyValue(Model[Hashable]):
    """Values by key, with compare-and-set; None stands for no value. Partitioned by key."""

    def init(self) -> Hashable:
        """No key has a value."""
        return None

    def step(self, state: Hashable, request: Any) -> tuple[Hashable, Any]:
        """Get, put, delete or compare-and-set the value of the partition's key."""
        match request:
            case ('get', _):
                return state, state
            case ('put', _, value):
                return value, None
            case ('cas', _, expected, value):
                return (value, True) if state == expected else (state, False)
            case ('delete', _):
                return None, state is not None
        self.refuse(request)

    def partition(self, request: Any) -> Hashable:
        """Keys are independent of each other."""
        match request:
            case (_, str() | int() as key, *_):
                return key
        self.refuse(request)

    def is_reading(self, request: Any, output: Any) -> bool:
        """So does what found nothing to change."""
        return request[0] == 'get' or (output is False and request[0] in {'cas', 'delete'})


@dataclass(frozen=True)
class Counter(Model[int]):
    """A total that amounts are added to. initial: the total before the first."""

    initial: int = 0

    def init(self) -> int:
        """Return the initial total."""
        return self.initial

    def step(self, state: int, request: Any) -> tuple[int, Any]:
        """Add, or get the total."""
        match request:
            case ('get',):
                return state, state
            case ('add', amount):
                return state + amount, state + amount
        self.refuse(request)

    def allows(self, request: Any, expected: Any, output: Any) -> bool:
        """Whoever adds may be told nothing but that it is done."""
        return expected == output or (output is None and request[0] == 'add')

    def is_reading(self, request: Any, output: Any) -> bool:  # noqa: ARG002
        """Getting the total does."""
        return bool(request == ('get',))


class Queue(Model[tuple[Any, ...]]):
    """First in, first out. Items are not None, which says that the queue is empty."""

    def init(self) -> tuple[Any, ...]:
        """The queue is empty."""
        return ()

    def step(self, state: tuple[Any, ...], request: Any) -> tuple[tuple[Any, ...], Any]:
        """Enqueue at the end, or dequeue from the front."""
        match request:
            case ('enqueue', item) if item is not None:
                return (*state, item), None
            case ('dequeue',):
                return (state[1:], state[0]) if state else (state, None)
        self.refuse(request)

    def is_reading(self, request: Any, output: Any) -> bool:
        """So does dequeuing from an empty queue."""
        return output is None and request == ('dequeue',)


class Lock(Model[Hashable]):
    """Locks by name, each held by one owner at most, not reentrant. Partitioned by name.

    An `acquire` that waits for its turn returns True when it comes.
    """

    def init(self) -> Hashable:
        """Nobody holds the lock."""
        return None

    def step(self, state: Hashable, request: Any) -> tuple[Hashable, Any]:
        """Acquire the lock if it is free; release it if it is the owner's."""
        match request:
            case ('acquire', _, owner):
                return (owner, True) if state is None else (state, False)
            case ('release', _, owner):
                return (None, True) if state == owner else (state, False)
        self.refuse(request)

    def partition(self, request: Any) -> Hashable:
        """Locks are independent of each other."""
        match request:
            case (_, str() | int() as lock, *_):
                return lock
        self.refuse(request)

    def describe_state(self, state: Hashable) -> str:
        """Say who holds the lock."""
        return 'free' if state is None else f'held by {state!r}'

    def is_reading(self, request: Any, output: Any) -> bool:  # noqa: ARG002
        """So does what was refused."""
        return output is False
