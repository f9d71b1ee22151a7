"""Safe reading of users' YAML files, with limits on repeated keys, depth and size.

A few lines of aliases (``*name``) may expand to billions of values, and a recursive parser may run out of stack on
nested brackets. So the parser's events are counted before any value is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from leakscope.errors import InputError
from leakscope.files.normal_form import composed
from leakscope.files.reading import MEGABYTE, one_line, read_utf8

LARGEST_YAML = 10 * MEGABYTE
# Most values of a text with aliases expanded, and the deepest nesting of lists and mappings.
MOST_VALUES = 1_000_000
DEEPEST = 50
# libyaml is ten times as fast, where PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Return the value of a YAML file, in Unicode form C (``normal_form``).

    Raises:
        InputError: the file cannot be read or is larger than ``LARGEST_YAML``, or as ``parse_yaml``.
    """
    return parse_yaml(composed(read_utf8(path, LARGEST_YAML)), str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text.

    Args:
        text: one document.
        where: the file, for the error, which adds the line.

    Raises:
        InputError: the text is not YAML, is empty, repeats a key, is nested deeper than ``DEEPEST``, or expands to more
            than ``MOST_VALUES`` values.
    """
    try:
        sizes = _Sizes(where)
        for event in yaml.parse(text, Loader=_Loader):
            sizes.count(event)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{where}: got an empty file; allowed: YAML.")
        _refuse_duplicate_keys(node, where, loader)
        return loader.construct_document(node)
    except InputError:
        raise
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{where}, line {line}: got invalid YAML ({error.problem}); allowed: YAML.") from error
    except Exception as error:
        # For example a date such as 2024-13-45, a list as a key of a set, or a value of a wrong type: `!!bool maybe`.
        raise InputError(f"{where}: got invalid YAML ({one_line(error)}); allowed: YAML.") from error


class _Open(NamedTuple):
    """An open list or mapping: its anchor, and the number of values before it."""

    anchor: str | None
    before: int


class _Sizes:
    """Counts the values and the depth of a text from its events, without building values and without recursion."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.n_values = 0
        self.open: list[_Open] = []
        # Height of the content so far of each open list or mapping.
        self.heights: list[int] = [0]
        # Anchor → number of values and height of its node.
        self.known: dict[str, tuple[int, int]] = {}

    def count(self, event: yaml.Event) -> None:
        """Count an event of a text."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._add(event, 1, 1)
            self.open.append(_Open(event.anchor, self.n_values - 1))
            self.heights.append(0)
        elif isinstance(event, yaml.CollectionEndEvent):
            ended, height = self.open.pop(), self.heights.pop() + 1
            self.heights[-1] = max(self.heights[-1], height)
            if ended.anchor is not None:
                self.known[ended.anchor] = (self.n_values - ended.before, height)
        elif isinstance(event, yaml.AliasEvent):
            if any(one.anchor == event.anchor for one in self.open):
                raise InputError(
                    f"{self._place(event)}: got *{event.anchor} inside the value that it names; "
                    "allowed: an alias outside this value."
                )
            # An alias without an anchor is refused later, when values are built.
            self._add(event, *self.known.get(event.anchor or "", (1, 0)))
        elif isinstance(event, yaml.ScalarEvent):
            self._add(event, 1, 0)
            if event.anchor is not None:
                self.known[event.anchor] = (1, 0)

    def _add(self, event: yaml.Event, n_values: int, height: int) -> None:
        self.n_values += n_values
        self.heights[-1] = max(self.heights[-1], height)
        if len(self.open) + height > DEEPEST:
            depth = f"more than {DEEPEST} lists or mappings inside each other"
            raise InputError(f"{self._place(event)}: got {depth}; allowed: at most {DEEPEST}.")
        if self.n_values > MOST_VALUES:
            number = f"more than {MOST_VALUES:,} values, including those of aliases"
            raise InputError(f"{self._place(event)}: got {number}; allowed: at most {MOST_VALUES:,}.")

    def _place(self, event: yaml.Event) -> str:
        return f"{self.where}, line {event.start_mark.line + 1 if event.start_mark else 1}"


def _refuse_duplicate_keys(node: yaml.Node, where: str, loader: Any) -> None:
    """Refuse repeated keys: YAML silently keeps only the last one, so a term or sentence would be lost.

    Keys are compared as parsed: `yes` and `on` are equal, 1 and "1" are not.
    """
    if isinstance(node, yaml.MappingNode):
        seen: set[object] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                made = (key.tag, key.value) if key.value == "<<" else loader.construct_object(key)
                if made in seen:
                    line = key.start_mark.line + 1
                    raise InputError(f"{where}, line {line}: got the key {key.value!r} twice; allowed: each key once.")
                seen.add(made)
            _refuse_duplicate_keys(value, where, loader)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicate_keys(value, where, loader)
