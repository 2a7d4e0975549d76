"""What labelers may answer: a Label Studio label config for the classification of images or texts.

The server takes any answer, also one that its own config does not have; so answers are checked here.
"""

from typing import Any, Literal
from xml.etree import ElementTree

import msgspec

from airlock.errors import UserError

Kind = Literal["image", "text"]
TAGS: dict[str, Kind] = {"Image": "image", "Text": "text"}
HINT = 'A classification needs one <Image> or <Text> and one <Choices> for it with choice="single".'


class LabelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A label config and what follows from it.

    :param xml: as Label Studio takes it.
    :param kind: what is shown.
    :param field: key of the task's data that holds it.
    :param shown: name of the tag that shows the sample (``to_name`` of an answer).
    :param control: name of the tag that takes the answer (``from_name``).
    :param classes: the answers there are.
    """

    xml: str
    kind: Kind
    field: str
    shown: str
    control: str
    classes: tuple[str, ...]

    def result(self, label: str) -> list[dict[str, Any]]:
        """Return an answer as Label Studio spells it."""
        value = {"choices": [label]}
        return [{"from_name": self.control, "to_name": self.shown, "type": "choices", "value": value}]

    def label_of(self, result: Any) -> str:
        """Return the label of an answer.

        :raises UnknownLabel: the config has no such choice.
        :raises Malformed: it is no answer to this config; says what is wrong with it.
        """
        if not isinstance(result, list) or len(result) != 1 or not isinstance(result[0], dict):
            raise Malformed(f"{_parts(result)} where one choice is asked for")
        part = result[0]
        if part.get("from_name") != self.control or part.get("to_name") != self.shown:
            raise Malformed(f"it answers {part.get('from_name')!r}, not {self.control!r}")
        value = part.get("value")
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], str):
            raise Malformed(f"{_parts(choices)} where one choice is asked for")
        if choices[0] not in self.classes:
            raise UnknownLabel(f"{choices[0]!r} is not in the label config")
        return choices[0]


class Malformed(Exception):
    """An answer that does not answer the config's question."""


class UnknownLabel(Malformed):
    """An answer with a label that the config does not have."""


def classification(kind: Kind, classes: list[str]) -> LabelConfig:
    """Make the label config of a classification.

    :raises UserError: there are fewer than two classes, or one twice.
    """
    view = ElementTree.Element("View")
    if kind == "image":
        ElementTree.SubElement(view, "Image", name="sample", value="$image", zoom="true", zoomControl="true")
    else:
        ElementTree.SubElement(view, "Text", name="sample", value="$text")
    choices = ElementTree.SubElement(
        view, "Choices", name="label", toName="sample", choice="single", showInLine="true", required="true"
    )
    for name in classes:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return read_config(ElementTree.tostring(view, encoding="unicode"), classes)


def read_config(xml: str, classes: list[str]) -> LabelConfig:
    """Read a label config that somebody wrote.

    :param classes: the use case's, which must be the config's choices.
    :raises UserError: it is no classification into these classes.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise UserError(f"The label config is not XML: {error}.", hint=HINT) from error
    shown, control = _only(root, tuple(TAGS)), _only(root, ("Choices",))
    found = tuple(str(item.get("alias") or item.get("value", "")) for item in control.iter("Choice"))
    _check(control, shown, found, classes)
    return LabelConfig(
        xml=xml,
        kind=TAGS[shown.tag],
        field=shown.get("value", "").removeprefix("$"),
        shown=shown.get("name", ""),
        control=control.get("name", ""),
        classes=found,
    )


def _only(root: ElementTree.Element, tags: tuple[str, ...]) -> ElementTree.Element:
    found = [item for item in root.iter() if item.tag in tags]
    if len(found) != 1:
        raise UserError(f"The label config has {len(found)} tags {' or '.join(tags)}, not one.", hint=HINT)
    return found[0]


def _check(
    control: ElementTree.Element, shown: ElementTree.Element, found: tuple[str, ...], classes: list[str]
) -> None:
    if control.get("toName") != shown.get("name") or not control.get("name"):
        raise UserError(f"The choices are for {control.get('toName')!r}, not {shown.get('name')!r}.", hint=HINT)
    if control.get("choice", "single") not in ("single", "single-radio") or control.get("perRegion") == "true":
        raise UserError("The label config takes more than one choice for a sample.", hint=HINT)
    if not shown.get("value", "").startswith("$"):
        raise UserError(f"<{shown.tag}> shows {shown.get('value')!r}, the same for every sample.", hint=HINT)
    if len(set(found)) < 2 or len(set(found)) != len(found):
        raise UserError(f"The classes {', '.join(found)} are no choice.", hint="Name two classes or more, each once.")
    if set(found) != set(classes):
        differ = sorted(set(found) ^ set(classes))
        raise UserError(
            f"The label config and the use case's classes differ in {', '.join(differ)}.",
            hint="Give the config exactly the classes as choices.",
        )


def _parts(value: Any) -> str:
    return f"{len(value)} parts" if isinstance(value, list) else f"{type(value).__name__} {str(value)[:60]!r}"
