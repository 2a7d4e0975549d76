"""Which labels a sample may come with. Declared in a DAG, applied by :mod:`airlock.data.cleaning.pipeline`."""

import msgspec


class LabelRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which labels are known.

    :param classes: their names. A sample without a label is kept: labelling comes later.
    """

    classes: tuple[str, ...]

    def violation(self, label: str | None) -> str:
        """Return why a label is refused, empty when it is not."""
        if label is None or label in self.classes:
            return ""
        return f"its label {label!r} is none of the classes {', '.join(self.classes)}"
