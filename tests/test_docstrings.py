"""What is public tells its callers what they must know: parameters, units, errors.

That there is a docstring at all, and its form, is checked by ruff.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from types import FunctionType

MODULES = 'raft', 'http', 'machines', 'storage', 'testing'
FOR_PROGRAMS = 'raft', 'http', 'machines', 'storage'
"""What runs in a service: here, parameters and units are told as well."""

REFERENCE = re.compile(r'\b[Ss]ee\s+`|`from_url`')
Documented = tuple[str, FunctionType, str]


def documented(modules: tuple[str, ...]) -> Iterator[Documented]:
    """Yield the public functions and methods, by name, with what is said to them.

    What a class says of itself is said to its methods, too.
    """
    for module_name in modules:
        module = import_module(f'consensual.{module_name}')
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found):
                yield f'{module_name}.{name}', found, inspect.getdoc(found) or ''
            elif inspect.isclass(found) and found.__module__.startswith('consensual.'):
                for key, method, said in methods(found):
                    yield f'{module_name}.{name}.{key}', method, said


def methods(kind: type[object]) -> Iterator[Documented]:
    """Yield those that a class itself has."""
    is_protocol = getattr(kind, '_is_protocol', False)
    for key, value in vars(kind).items():
        method = getattr(value, 'fget', None) or getattr(value, '__func__', value)
        is_asked = not key.startswith('_') or (key == '__init__' and not is_protocol)
        if inspect.isfunction(method) and is_asked:
            yield key, method, f'{kind.__doc__}\n{method.__doc__}'


def parameters(function: FunctionType) -> list[str]:
    """Return the names of what is given to it."""
    names = inspect.signature(function).parameters
    return [name for name in names if name not in ('self', 'cls') and not name.startswith('_')]


def raised(function: FunctionType) -> set[str]:
    """Return the names of the errors that it raises by itself."""
    if function.__code__.co_filename.startswith('<'):  # a record's, which was not written
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    causes = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    called = [cause.func if isinstance(cause, ast.Call) else cause for cause in causes]
    return {name.id for name in called if isinstance(name, ast.Name) and name.id[0].isupper()}


def refers(function: FunctionType, said: str) -> bool:
    """Tell whether it says where more is told; the docstring of `__init__` is its class's."""
    return REFERENCE.search(function.__doc__ or said) is not None


def names(text: str, name: str) -> bool:
    """Tell whether a text has that word."""
    return re.search(rf'\b{name}\b', text) is not None


def test_errors_are_named() -> None:
    """Whoever calls knows what to catch."""
    missing = [
        f'{name}: {error}'
        for name, function, said in documented(MODULES)
        for error in sorted(raised(function))
        if not names(said, error) and not refers(function, said)
    ]
    assert missing == []


def test_parameters_are_named() -> None:
    """One alone is what the sentence is about; of several, each is named, or a reference given."""
    missing = [
        f'{name}: {parameter}'
        for name, function, said in documented(FOR_PROGRAMS)
        for parameter in parameters(function)
        if len(parameters(function)) > 1
        and not names(said, parameter)
        and not refers(function, said)
    ]
    assert missing == []


def test_times_have_a_unit() -> None:
    """A timeout is a number of seconds, and says so."""
    missing = [
        name
        for name, function, said in documented(FOR_PROGRAMS)
        if any('timeout' in parameter for parameter in parameters(function))
        and not names(said, 'seconds')
        and not refers(function, said)
    ]
    assert missing == []


def test_enough_is_looked_at() -> None:
    """The checks can fail: they see what there is."""
    found = {name: function for name, function, _ in documented(MODULES)}
    assert len(found) > 200
    assert parameters(found['raft.Node.execute']) == ['action', 'parameters', 'timeout']
    assert raised(found['raft.Node.query']) == {'UnknownQuery', 'InvalidParameters'}
