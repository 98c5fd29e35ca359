"""A type's JSON Schema, compiled to check the ``data`` of events. Pure.

Patterns are matched in linear time (no look-around, no back-references), formats are annotations as draft 2020-12 has them,
nothing is ever fetched, and what a check may cost is bounded before it begins. What is told about a fault names the place and the
rule, and never quotes the value: it is a client's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jiter
import jsonschema_rs

from shared import strict_json
from shared.problems import PointedError
from webhook_dispatcher.event_types.schema_limits import SchemaRefusedError, measure

EVENT_WORK_MAX: Final = 16_000_000
"""Nodes of the schema times bytes of the data: at the very worst about half a second."""
BODY_WORK_MAX: Final = 160_000_000
EXPLAINED_WORK_MAX: Final = 40_000
"""Nodes times values: beyond it, the place of a fault under ``anyOf`` or ``oneOf`` is not looked for in one body's events."""
_PATTERN_BYTES_MAX: Final = 32 * 1024
_DETAIL_CHARS_MAX: Final = 300
_VALUE: Final = "the value"
_ALTERNATIVES: Final = (b'"anyOf"', b'"oneOf"')
_MARKS_OF_VALUES: Final = (b",", b"{", b"[")


@dataclass(slots=True)
class CheckBudget:
    """How much the events of one body may cost together: to be checked, and to be told what exactly is wrong with them."""

    work_left: int = BODY_WORK_MAX
    explained_work_left: int = EXPLAINED_WORK_MAX

    def affords(self, work: int) -> bool:
        """Tell whether a check may be made, and count it."""
        self.work_left -= work
        return work <= EVENT_WORK_MAX and self.work_left >= 0

    def affords_to_explain(self, work: int) -> bool:
        """Tell whether a fault may be explained, and count that."""
        affordable = work <= self.explained_work_left
        self.explained_work_left -= work if affordable else 0
        return affordable


class DataSchema:
    """A compiled schema. ``nodes`` 0 stands for one of our own, which bounds its work by its form."""

    def __init__(self, json_schema: Mapping[str, Any], *, nodes: int = 0, has_alternatives: bool = False) -> None:
        self.nodes = nodes
        self._has_alternatives = has_alternatives
        self._validator = jsonschema_rs.Draft202012Validator(
            dict(json_schema),
            validate_formats=False,
            offline=True,
            mask=_VALUE,
            pattern_options=jsonschema_rs.RegexOptions(
                size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX
            ),
        )

    @classmethod
    def from_outside(cls, json_schema: Mapping[str, Any], text: bytes) -> "DataSchema":
        """Compile a schema that somebody else wrote; ``text`` is its JSON. Raises SchemaRefusedError."""
        nodes = measure(json_schema)
        try:
            return cls(json_schema, nodes=nodes, has_alternatives=any(mark in text for mark in _ALTERNATIVES))
        except jsonschema_rs.ValidationError as exc:
            raise SchemaRefusedError(tuple(exc.instance_path), _short(exc.message)) from exc
        except (jsonschema_rs.ReferencingError, ValueError) as exc:
            raise SchemaRefusedError((), _short(str(exc))) from exc

    def fault(self, data: bytes, *, parsed: object = None, budget: CheckBudget) -> PointedError | None:
        """Return what is wrong with an event's ``data``, given as the publisher's bytes; the pointer is relative to it.

        ``parsed`` saves work where the caller has it: it may hold what is no plain value, so only a yes is taken from it.
        """
        if not budget.affords(self.nodes * len(data)):
            return {"pointer": "", "detail": "too large to be checked against the schema of this type"}
        if parsed is not None and self._validator.is_valid(parsed):
            return None
        try:
            exact = jiter.from_json(data, float_mode="decimal", allow_inf_nan=False)
        except ValueError:
            return {"pointer": "", "detail": "holds a number that is too large to be checked"}
        if self._validator.is_valid(exact):
            return None
        return self._explained(exact, affordable=self._affords_to_explain(data, budget))

    def _affords_to_explain(self, data: bytes, budget: CheckBudget) -> bool:
        # The validator keeps every fault under every alternative; of a schema without any it stops at the first.
        return not self._has_alternatives or budget.affords_to_explain(self.nodes * _values_in(data))

    def _explained(self, exact: object, *, affordable: bool) -> PointedError:
        if affordable:
            try:
                self._validator.validate(exact)
            except jsonschema_rs.ValidationError as exc:
                return {"pointer": strict_json.pointer_of(tuple(exc.instance_path)), "detail": _short(exc.message)}
        return {"pointer": "", "detail": "does not fit the schema of this type"}


def _values_in(data: bytes) -> int:
    """Return an upper bound of how many values a JSON text has."""
    return 1 + sum(data.count(mark) for mark in _MARKS_OF_VALUES)


def _short(text: str) -> str:
    return text if len(text) <= _DETAIL_CHARS_MAX else text[:_DETAIL_CHARS_MAX] + "…"
