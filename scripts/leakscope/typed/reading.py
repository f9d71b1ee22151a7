"""Reading a YAML file whose content is a typed section."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from leakscope.errors import Mistakes
from leakscope.files.reading_yaml import read_yaml
from leakscope.typed.mistakes import mistakes
from leakscope.typed.values import Section

Written = TypeVar("Written", bound=Section)


def read_typed(path: Path, section: type[Written]) -> Written:
    """Return the content of a YAML file as a section.

    Raises:
        InputError: as ``read_yaml``, or the content is not valid: all mistakes, one line each.
    """
    content = read_yaml(path)
    try:
        return section.model_validate(content)
    except ValidationError as error:
        found = Mistakes(mistakes(error, content, section, str(path)).values())
        found.end()
        raise
