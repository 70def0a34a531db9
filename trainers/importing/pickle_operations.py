"""The operations of pickles, as `PickleMachine` runs them: each moves values on a stack, and none calls a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainers.importing.inert_objects import InertName, InertObject
from trainers.importing.untrusted import damaged

MAX_OPERATIONS = 1_000_000
"""A file of a large detector with its optimizer has about 200,000."""
MAX_NUMBER = 2**32
"""Of a number that is a key: many numbers with equal hashes would make a dictionary slow. Of a reference, too."""
MAX_BITS = 1024
PROTOCOLS = range(6)


class PickleMachine:
    """The stack, marks and memo of a pickle that is run, and the work that is left to its operations."""

    def __init__(
        self,
        known: Mapping[InertName, Callable[[tuple[Any, ...]], object]],
        persistent: Callable[[object], object],
    ) -> None:
        self.known, self.persistent = known, persistent
        self.left = MAX_OPERATIONS
        self.restart()

    def restart(self) -> None:
        """Forgets the values of the last pickle."""
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, object] = {}

    def spend(self, amount: int) -> None:
        """Takes work from the limit: an operation, or entries that are copied; raises UnreadableFileError beyond it."""
        self.left -= amount
        if self.left < 0:
            raise damaged(f"its pickle has more than {MAX_OPERATIONS:,} operations")

    def since_mark(self) -> list[Any]:
        """Removes the last mark and what was pushed since, and returns that."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def call(self, function: object, arguments: object) -> object:
        """Returns what a call gives: the result of a known function, or an inert object."""
        if not isinstance(arguments, tuple):
            raise ValueError("a call without a tuple of arguments")
        name = function if isinstance(function, InertName) else None
        act = self.known.get(name) if name else None
        if act is None:
            return InertObject(name=name)
        self.spend(len(arguments))
        self.spend(sum(len(each) for each in arguments if isinstance(each, list | tuple | set | dict)))
        return act(arguments)


Operation = Callable[[PickleMachine, Any], None]
"""Called with the machine and the argument that stands behind the operation."""


def is_key(value: object) -> bool:
    """Returns whether a value may be the key of a dictionary: text, bytes, a truth value, None or a small number."""
    if isinstance(value, int):
        return abs(value) < MAX_NUMBER
    return value is None or isinstance(value, str | bytes)


def assign(target: object, items: list[Any]) -> None:
    """Adds keys and values, which alternate, to a dictionary or an inert object. Other kinds of keys are left out."""
    entries = target.items if isinstance(target, InertObject) else target
    if not isinstance(entries, dict) or len(items) % 2:
        raise ValueError("entries of something that has none")
    entries.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if is_key(key))


def extend(target: object, items: list[Any]) -> None:
    """Adds items to a list or a set; an inert object ignores them."""
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, set):
        target.update(filter(is_key, items))
    elif not isinstance(target, InertObject):
        raise ValueError("items of something that has none")


def mapping_of(items: list[Any]) -> dict[Any, Any]:
    """Returns keys and values, which alternate, as a dictionary."""
    made: dict[Any, Any] = {}
    assign(made, items)
    return made


def _push(machine: PickleMachine, argument: Any) -> None:
    if isinstance(argument, int) and argument.bit_length() > MAX_BITS:
        raise ValueError(f"a number of more than {MAX_BITS} bits")
    machine.stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)


def _new(make: Callable[[], object]) -> Operation:
    return lambda machine, _: machine.stack.append(make())


def _marked(make: Callable[[list[Any]], object]) -> Operation:
    """Returns the operation that replaces what was pushed since the mark by what `make` builds from it."""

    def operation(machine: PickleMachine, _: Any) -> None:
        items = machine.since_mark()
        machine.stack.append(make(items))

    return operation


def _tuple_of(length: int) -> Operation:
    def operation(machine: PickleMachine, _: Any) -> None:
        items = [machine.stack.pop() for _ in range(length)]
        machine.stack.append(tuple(reversed(items)))

    return operation


def _added(add: Callable[[object, list[Any]], None], count: int | None = None) -> Operation:
    """Returns the operation that adds the last `count` values, or those since the mark, to the one before them."""

    def operation(machine: PickleMachine, _: Any) -> None:
        items = machine.since_mark() if count is None else [machine.stack.pop() for _ in range(count)][::-1]
        add(machine.stack[-1], items)

    return operation


def _mark(machine: PickleMachine, _: Any) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _pop(machine: PickleMachine, _: Any) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


def _pop_mark(machine: PickleMachine, _: Any) -> None:
    machine.since_mark()


def _duplicate(machine: PickleMachine, _: Any) -> None:
    machine.stack.append(machine.stack[-1])


def _remember(machine: PickleMachine, index: int | None) -> None:
    index = len(machine.memo) if index is None else index
    if not 0 <= index < MAX_NUMBER:
        raise ValueError("a reference out of range")
    machine.memo[index] = machine.stack[-1]


def _recall(machine: PickleMachine, index: int) -> None:
    machine.stack.append(machine.memo[index])


def _name(machine: PickleMachine, argument: str) -> None:
    machine.stack.append(InertName(*argument.split(" ", 1)))


def _name_of_texts(machine: PickleMachine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name that is no text")
    machine.stack.append(InertName(module, name))


def _call(machine: PickleMachine, _: Any) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.call(function, arguments))


def _call_with_keywords(machine: PickleMachine, _: Any) -> None:
    machine.stack.pop()
    _call(machine, None)


def _instance(machine: PickleMachine, argument: str) -> None:
    arguments = machine.since_mark()
    machine.stack.append(machine.call(InertName(*argument.split(" ", 1)), tuple(arguments)))


def _object(machine: PickleMachine, _: Any) -> None:
    function, *arguments = machine.since_mark()
    machine.stack.append(machine.call(function, tuple(arguments)))


def _set_state(machine: PickleMachine, _: Any) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, InertObject):
        target.state = state


def _persistent(machine: PickleMachine, _: Any) -> None:
    machine.stack.append(machine.persistent(machine.stack.pop()))


def _protocol(_: PickleMachine, argument: int) -> None:
    if argument not in PROTOCOLS:
        raise ValueError(f"protocol {argument}")


def _ignore(_: PickleMachine, __: Any) -> None:
    pass


PUSHED = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "BYTEARRAY8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(PUSHED, _push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _recall),
    "NONE": _new(lambda: None),
    "NEWTRUE": _new(lambda: True),
    "NEWFALSE": _new(lambda: False),
    "EMPTY_TUPLE": _new(tuple),
    "EMPTY_LIST": _new(list),
    "EMPTY_DICT": _new(dict),
    "EMPTY_SET": _new(set),
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _duplicate,
    "TUPLE": _marked(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": _marked(list),
    "DICT": _marked(mapping_of),
    "FROZENSET": _marked(lambda items: set(filter(is_key, items))),
    "APPEND": _added(extend, 1),
    "APPENDS": _added(extend),
    "ADDITEMS": _added(extend),
    "SETITEM": _added(assign, 2),
    "SETITEMS": _added(assign),
    "GLOBAL": _name,
    "STACK_GLOBAL": _name_of_texts,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": _set_state,
    "BINPERSID": _persistent,
    "PROTO": _protocol,
    "FRAME": _ignore,
}
"""What is missing here is refused: identifiers as text (`PERSID`), codes of the registry of extensions (`EXT1`, `EXT2`,
`EXT4`), and data outside the pickle (`NEXT_BUFFER`, `READONLY_BUFFER`)."""
