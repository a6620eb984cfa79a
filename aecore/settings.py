"""Settings from named values, checked by pydantic, with errors in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import FieldError

Settings = TypeVar("Settings", bound=BaseModel)


def parse(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of this kind, such as a `Plan`, from named values, which may be strings.

    Raises FieldError, which names the field and says what is allowed.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "value"
        if name not in kind.model_fields:
            raise FieldError(name, f"there is no such setting; there are {', '.join(kind.model_fields)}") from None
        wish = first["msg"].replace("Input should be", "it must be", 1).removeprefix("Value error, ")
        raise FieldError(name, f"{first['input']!r} is not allowed; {wish}") from None
