"""``${filters}`` and ``${filters * 2}`` in attributes: names and arithmetic, read as a syntax tree and never run."""

import ast
import operator
import re
from collections.abc import Mapping
from typing import Any

from airlock.model.architecture.problems import meant

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
LIMIT = 200
OPERATORS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def names_in(value: Any) -> set[str]:
    """Return the names that expressions in a value use, whether they are defined or not."""
    if isinstance(value, str):
        return {name for text in PLACEHOLDER.findall(value) for name in re.findall(r"[A-Za-z_]\w*", text)}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return {name for each in inner for name in names_in(each)}


class Unknown:
    """A value that is not known before the run, such as the number of classes while a DAG is parsed."""


UNKNOWN = Unknown()


class ExpressionError(ValueError):
    """An expression cannot be computed; the message is the reason."""


class Scope:
    """The names that expressions may use.

    :param values: parameters and ``classes``.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def substitute(self, value: Any) -> Any:
        """Return a value with every ``${…}`` in it computed; :data:`UNKNOWN` when it depends on something unknown.

        A string that is one placeholder becomes its value, of whatever type; others stay text.

        :raises ExpressionError: a name is not defined, or the expression is not arithmetic.
        """
        if isinstance(value, dict):
            return _all_known({name: self.substitute(each) for name, each in value.items()})
        if isinstance(value, list):
            return _all_known([self.substitute(each) for each in value])
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> Any:
        if whole := PLACEHOLDER.fullmatch(text):
            return self._evaluate(whole[1])
        values = [self._evaluate(each) for each in PLACEHOLDER.findall(text)]
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        remaining = iter(values)
        return PLACEHOLDER.sub(lambda _: str(next(remaining)), text)

    def _evaluate(self, text: str) -> Any:
        if len(text) > LIMIT:
            raise ExpressionError(f"${{{text[:20]}…}} is longer than {LIMIT} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError) as error:
            raise ExpressionError(f"${{{text}}} is no expression") from error
        try:
            return self._value(tree.body)
        except ArithmeticError as error:
            raise ExpressionError(f"${{{text}}} cannot be computed: {error}") from error

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Name(id=name):
                return self._named(name)
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return value
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return _compute(OPERATORS[type(op)], self._value(left), self._value(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                return _compute(OPERATORS[type(op)], self._value(operand))
        raise ExpressionError(f"${{{ast.unparse(node)}}} is neither a parameter, a number nor + - * / // %")

    def _named(self, name: str) -> Any:
        if name not in self._values:
            raise ExpressionError(f"${{{name}}} is not defined{meant(name, self._values)}")
        return self._values[name]


def _compute(function: Any, *values: Any) -> Any:
    if any(value is UNKNOWN for value in values):
        return UNKNOWN
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ExpressionError(f"{value!r} is no number to compute with")
    return function(*values)


def _all_known(values: Any) -> Any:
    each = values.values() if isinstance(values, dict) else values
    return UNKNOWN if any(value is UNKNOWN for value in each) else values
