"""A gate's form: questions beside the checklist, whose answers are signed with the decision."""

from collections.abc import Mapping
from typing import Any

import msgspec

from airlock.errors import UserError

LONGEST = 10_000


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question of a form.

    :param title: what people read.
    :param options: the answers there are; without any the answer is a text.
    :param required: whether who approves must answer.
    """

    title: str
    options: list[str] = []
    required: bool = True

    def __post_init__(self) -> None:
        if len(set(self.options)) < len(self.options) or "" in self.options:
            raise UserError(f"The options {self.options} are not different words.", hint="Name each answer once.")


Form = dict[str, Field]


def read_answers(form: Mapping[str, Field], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers to a form's questions, those left open left out.

    :raises UserError: an answer is none of the options, or too long.
    """
    answers = {name: str(given.get(name) or "").replace("\0", "").strip() for name in form}
    for name, text in answers.items():
        if text and (options := form[name].options) and text not in options:
            raise UserError(f"{text[:80]!r} is no answer to {name!r}.", hint=f"Choose one of {', '.join(options)}.")
        if len(text) > LONGEST:
            raise UserError(f"The answer to {name!r} is longer than {LONGEST} characters.", hint="Link to it.")
    return {name: text for name, text in answers.items() if text}


def unanswered(form: Mapping[str, Field], answers: Mapping[str, str]) -> list[str]:
    """Return the required questions that have no valid answer."""
    return sorted(name for name, field in form.items() if field.required and not _valid(field, answers.get(name, "")))


def _valid(field: Field, answer: str) -> bool:
    return answer in field.options if field.options else bool(answer)
