"""What is wrong with a value that a model refuses, in words that do not speak of the program's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

_WORDS: Final = {
    "bool_parsing": "is true or false", "bool_type": "is true or false",
    "dict_type": "takes an object", "model_type": "takes an object", "model_attributes_type": "takes an object",
    "extra_forbidden": "is not known here", "finite_number": "takes a finite number",
    "float_parsing": "takes a number", "float_type": "takes a number",
    "int_from_float": "takes a whole number", "int_parsing": "takes a whole number", "int_type": "takes a whole number",
    "int_parsing_size": "takes a smaller whole number",
    "list_type": "takes a list", "tuple_type": "takes a list", "missing": "is missing", "string_type": "takes text",
}  # fmt: skip


def fault(item: Mapping[str, Any]) -> str:
    """The sentence, without its end, of one of the errors of a ``ValidationError``."""
    return _WORDS.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")


def first_fault(error: ValidationError) -> tuple[str, str]:
    """The field path and the sentence, without its end, of what is refused first."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ".".join(str(part) for part in first["loc"]), fault(first)
