"""Types for the values of a configuration's sections.

A section is a class and each key an attribute with type, default and, as a docstring below it, its meaning. If the type
does not fully describe the allowed values, a ``title`` does, for errors and for the reference.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

Value = TypeVar("Value")
# Numbers as written in YAML and in --config; YAML itself reads 5e-3 as text.
SPELT_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
LETTERS = "letters, digits, '.', '_' and '-', beginning with a letter or digit"


class Section(BaseModel):
    """A mapping of a configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True, validate_default=True)


def mistake(key: str, found: str, allowed: str) -> PydanticCustomError:
    """Return the error for a key that is inconsistent with other keys of its section."""
    # The texts are values of the template, so that their braces are literal.
    return PydanticCustomError("mistake", "{found}; {allowed}", {"key": key, "found": found, "allowed": allowed})


def _number_in_text(value: Any) -> Any:
    """Return the number in a text: values from ``--config 'a={b: 0.9}'`` are all texts."""
    return float(value) if isinstance(value, str) and SPELT_NUMBER.fullmatch(value) else value


def _whole(value: Any) -> Any:
    """Return 1 for 1.0, so that both name the same results."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else _number_in_text(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _flag_in_text(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _none_in_text(value: Any) -> Any:
    return None if value == "null" else value


def _each_once(values: list[Any]) -> list[Any]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise PydanticCustomError("twice", "twice", {"value": value})
    return values


def _other_than(*names: str) -> AfterValidator:
    """Refuse some names in any case, because some file systems ignore case."""

    def check(name: str) -> str:
        if name.casefold() in names:
            raise PydanticCustomError("reserved", "reserved")
        return name

    return AfterValidator(check)


def _ending_in(suffix: str) -> AfterValidator:
    """Refuse names with the suffix of other files."""

    def check(name: str) -> str:
        if name.casefold().endswith(suffix):
            raise PydanticCustomError("reserved", "reserved")
        return name

    return AfterValidator(check)


# A key that is omitted from the resolved configuration when it is unset or `null`.
Absent = Annotated[Value | None, Field(exclude_if=lambda value: value is None)]
Nullable = Annotated[Value | None, BeforeValidator(_none_in_text)]

# Outermost, so that bounds apply to the converted values and are shown in the schema.
WHOLE, NUMBER = BeforeValidator(_whole), BeforeValidator(_number_in_text)
Flag = Annotated[bool, BeforeValidator(_flag_in_text)]
Positive = Annotated[int, Field(ge=1), WHOLE]
NotNegative = Annotated[int, Field(ge=0), WHOLE]
Number = Annotated[float, NUMBER]
PositiveNumber = Annotated[float, Field(gt=0), NUMBER]
NotNegativeNumber = Annotated[float, Field(ge=0), NUMBER]
# A share strictly between 0 and 1.
Part = Annotated[float, Field(gt=0, lt=1), NUMBER]
Share = Annotated[float, Field(ge=0, le=1), NUMBER]

Text = Annotated[str, Field(min_length=1)]
# Texts that are shown in figures and pages.
Shown = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^<>\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
        title="one line without '<', '>' and control characters, at most 200 characters",
    ),
]
Distinct = Annotated[list[Value], Field(json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)]
# Like Distinct, with at least one value.
Several = Annotated[Distinct[Value], Field(min_length=1)]
Names = Annotated[Distinct[str], Field(title="a list of names, each once")]
SomeNames = Annotated[Several[str], Field(title="a list of names, each once, at least one")]
Edit = Literal["add", "ablate", "scale", "clamp", "mean_clamp"]
Positions = Literal["all", "prompt", "generated"]
Split = Literal["random", "held_out", "disjoint"]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", title="a language code such as en")]
Address = Annotated[str, Field(pattern="^https?://", title="an address that begins with http:// or https://")]


Variable = Annotated[
    str,
    Field(
        pattern=r"^[A-Z_][A-Z0-9_]{0,63}$",
        title="the name of an environment variable (capitals, digits and _), not the key",
    ),
]


class Described(Section):
    """A mapping that may say what it is for."""

    description: Absent[str] = None
    """What this entry is for. The workflow does not use it."""


class Labelled(Described):
    """A mapping that figures show by name."""

    label: Absent[Shown] = None
    """Name in figures and tables. Default: its key."""


# Names become names of files and folders.
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _named(but: str) -> Any:
    return Field(max_length=100, pattern=_NAME, title=f"a name of {LETTERS}{but}, at most 100 characters")


Name = Annotated[str, _named("")]
StudyName = Annotated[str, _named(", other than 'models' and 'store'"), _other_than("models", "store")]
CorpusName = Annotated[str, _named(", other than 'own'"), _other_than("own")]
MitigationName = Annotated[str, _named(", other than 'none'"), _other_than("none")]
TaskName = Annotated[str, _named(", not ending in '.items'"), _ending_in(".items")]
PromptSetName = Annotated[str, _named(", not ending in '.candidates'"), _ending_in(".candidates")]
