"""Keys whose value names a member of a registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dgmm.registry import Registry


@dataclass(frozen=True, eq=False)
class Choice:
    """Annotates a text: the name of a member, and in the JSON Schema one of the names of today."""

    registry: Registry[Any]

    def _known(self, name: str) -> str:
        if name not in self.registry:
            raise PydanticCustomError("unknown_name", "not a name of the registry")
        return name

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The text's schema, then the look-up."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """An enumeration of names."""
        return handler(schema) | {"enum": list(self.registry.names())}
