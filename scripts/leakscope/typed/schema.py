"""The JSON schema of users' YAML, generated from typed sections, and its description in plain words.

It is used in errors, reference pages and ``schemas/*.schema.json``. Validation is done by pydantic, not by the schema.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from leakscope.typed.values import Section

Schema = Mapping[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
BOUNDS = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "of at least {} character",
    "maxLength": "of at most {} characters",
    "minProperties": "of at least {} key",
}


@cache
def json_schema(section: type[Section]) -> Schema:
    """Return the JSON schema of a section with its nested sections; docstrings become descriptions."""
    return section.model_json_schema(by_alias=True, schema_generator=_Generator)


class _Generator(GenerateJsonSchema):
    """Pydantic's generator with explicit titles only, schemas of key names, and docstrings as descriptions."""

    def generate(self, schema: Any, mode: Any = "validation") -> dict[str, Any]:
        return {"$schema": DIALECT, **super().generate(schema, mode)}

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        return value

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        made = super().model_schema(schema)
        made.pop("title", None)
        texts = docstrings(schema["cls"])
        for name, field in schema["cls"].model_fields.items():
            key = made["properties"][field.alias or name]
            key |= {"description": texts[name]} if name in texts else {}
            if isinstance(key.get("default"), dict):
                # It would repeat the defaults of the nested keys.
                del key["default"]
        return made

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        made = super().dict_schema(schema)
        for entry in made.pop("patternProperties", {}).values():
            made["additionalProperties"] = entry
        made.pop("propertyNames", None)
        names = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        return {**made, "propertyNames": names} if "title" in names else made


def docstrings(section: type[Section]) -> dict[str, str]:
    """Return key → the docstring below it in the class or in a base class."""
    texts: dict[str, str] = {}
    for ancestor in reversed(section.__mro__):
        if issubclass(ancestor, Section):
            texts |= _texts(ancestor.__module__).get(ancestor.__name__, {})
    return {key: text for key, text in texts.items() if key in section.model_fields}


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """Return class → key → docstring below the key, for all classes of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    texts: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for key, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(key, ast.AnnAssign) and isinstance(below, ast.Expr):
                    text = inspect.cleandoc(ast.literal_eval(below.value))
                    texts.setdefault(node.name, {})[ast.unparse(key.target)] = " ".join(text.split())
    return texts


def follow(schema: Schema, root: Schema) -> Schema:
    """Return a schema with its ``$ref`` into ``$defs`` resolved; keys given along with the reference win."""
    if "$ref" not in schema:
        return schema
    target = follow(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def options(schema: Schema) -> list[Schema]:
    """Return the alternatives that a schema allows, without ``null``; the schema itself where there is only one."""
    return [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]


def entered(schema: Schema, root: Schema) -> Schema:
    """Return the single alternative to ``null`` that a schema allows; else the schema itself."""
    schema = follow(schema, root)
    inside = options(schema)
    return follow(inside[0], root) if len(inside) == 1 and "anyOf" in schema else schema


def kinds(schema: Schema, root: Schema) -> tuple[str, dict[str, Schema]]:
    """Return the key that distinguishes kinds of entries, and value → schema; no key where there is only one kind."""
    chosen = schema.get("discriminator")
    if chosen is None:
        return "", {}
    return chosen["propertyName"], {kind: follow({"$ref": ref}, root) for kind, ref in chosen["mapping"].items()}


def properties(schema: Schema, root: Schema) -> dict[str, Schema]:
    """Return key → its schema, for a mapping with fixed keys."""
    return {key: follow(inner, root) for key, inner in schema.get("properties", {}).items()}


def entries(schema: Schema, root: Schema) -> Schema:
    """Return the schema of the entries of a mapping with user-defined names as keys; empty for any other schema."""
    inner = schema.get("additionalProperties")
    return follow(inner, root) if isinstance(inner, Mapping) else {}


def in_words(schema: Schema, root: Schema) -> str:
    """Return a schema's allowed values in plain words, for errors and reference pages."""
    schema = follow(schema, root)
    if "title" in schema:
        return str(schema["title"])
    if "anyOf" in schema:
        return ", or ".join(in_words(option, root) for option in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "discriminator" in schema:
        key, named = kinds(schema, root)
        return f"a mapping with a {key}: {', '.join(named)}"
    if schema.get("type") == "array":
        return _list_in_words(schema, root)
    bounds = " and ".join(words.format(schema[key]) for key, words in BOUNDS.items() if key in schema)
    return f"{TYPES[schema['type']]} {bounds}".rstrip() if "type" in schema else "anything"


def _list_in_words(schema: Schema, root: Schema) -> str:
    item = in_words(schema["items"], root)
    one = re.match(r"(?:an? )?(whole number|number|name|text|word|language code|mapping)\b", item)
    several = f"{one[1]}s{item[one.end() :]}" if one else item
    once = ", each once" if schema.get("uniqueItems") else ""
    least = ", at least one" if schema.get("minItems") else ""
    return f"a list of {several}{once}{least}"
