"""What a comparison says: plain structs, from which Airflow's page and our own are drawn.

Every text in them (class names, parameters, …) is as its author wrote it: whoever shows it must escape it.
``None`` stands for what is not known, for example a champion's figure when nothing serves the use case yet.
"""

from typing import Literal

import msgspec

from airlock.governance.evaluations import Frontier, Interval, LabelFigures, SliceFigures
from airlock.governance.revisions import Revision
from airlock.references import Artifact, DatasetVersion, LabelSet

Kind = Literal["data", "labelling", "candidate", "release"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Root of the parts."""


class Metric(Part, frozen=True, kw_only=True):
    """One figure, of what is asked about (``now``) and of the champion (``before``).

    :param interval: at 95 %.
    """

    name: str
    now: float | None
    before: float | None = None
    interval: Interval | None = None
    before_interval: Interval | None = None

    @property
    def difference(self) -> float | None:
        """How much more it is now."""
        return None if self.now is None or self.before is None else self.now - self.before


class ClassRow(Part, frozen=True, kw_only=True):
    """One class of the test split; ``None`` for a model that does not know the class."""

    name: str
    support: int | None
    recall: Metric
    precision: Metric


class Flip(Part, frozen=True, kw_only=True):
    """A sample that one of the two models answers right and the other wrong.

    :param truth: name of its class; likewise the answers ``now`` and ``before``.
    :param probability: what the model gave its answer now; ``before_probability`` likewise.
    :param picture: PNG in base64; empty when none was kept. ``text`` is the beginning of a sample that is a text.
    """

    sample: str
    truth: str
    now: str
    before: str
    probability: float
    before_probability: float
    picture: str = ""
    text: str = ""


class Paired(Part, frozen=True, kw_only=True):
    """Two models on the samples that both answered and whose label is the same for both.

    :param samples: how many those are.
    :param gained: wrong before and right now; ``lost`` the other way round. The most confident errors first.
    :param p_value: of McNemar's exact test: how likely flips this one-sided are when both are equally good.
    :param difference: of accuracy, now less before; ``interval`` of it, at 95 %.
    """

    samples: int
    gained: list[Flip]
    lost: list[Flip]
    p_value: float
    difference: float
    interval: Interval


class Change(Part, frozen=True, kw_only=True):
    """Something that is not what it was; ``None`` where it is missing."""

    name: str
    before: str | None
    now: str | None


class Relabelled(Part, frozen=True, kw_only=True):
    """A sample whose label is not what it was."""

    sample: str
    before: str
    now: str


class DataChanges(Part, frozen=True, kw_only=True):
    """What became of the samples and labels since the champion's.

    :param rows: samples of the dataset version; ``counts`` of each split.
    :param dropped: samples that cleaning left out.
    :param added: samples the champion's data does not have; likewise ``removed``. ``None`` when it is not known which.
    :param changed: samples in both whose content or measures differ.
    :param labelling: what people said about a batch; ``None`` when nobody was asked.
    :param relabelled: labelled samples in both whose label differs, the first 100; ``relabelled_count`` of all.
    """

    dataset: DatasetVersion
    labels: LabelSet
    counts: dict[str, int]
    dropped: int
    before_dataset: DatasetVersion | None = None
    before_labels: LabelSet | None = None
    before_counts: dict[str, int] = {}
    before_dropped: int | None = None
    added: int | None = None
    removed: int | None = None
    changed: int | None = None
    relabelled: list[Relabelled] = []
    relabelled_count: int | None = None
    classes_added: list[str] = []
    classes_removed: list[str] = []
    labelling: LabelFigures | None = None

    @property
    def same(self) -> bool:
        """Whether samples and labels are the champion's."""
        return (self.before_dataset, self.before_labels) == (self.dataset, self.labels)


class Shrunk(Part, frozen=True, kw_only=True):
    """A release's model against the candidate it was compressed from.

    :param figures: the compressed model's (``now``) and the original's (``before``).
    :param frontier: every way that was tried; ``None`` where there was only one.
    """

    method: str
    points_lost: float
    ratio: float
    figures: list[Metric]
    paired: Paired | None = None
    frontier: Frontier | None = None


class Link(Part, frozen=True, kw_only=True):
    """An artifact behind a comparison."""

    title: str
    artifact: Artifact


class Comparison(Part, frozen=True, kw_only=True):
    """A manifest beside the champion's of the same kind.

    :param champion: digest of its manifest; empty when nothing serves the use case.
    :param metrics: the manifest's figures; sizes and times too.
    :param classes: the weakest recall first.
    :param slices: of a candidate, with what their thresholds say.
    :param paired: ``None`` where either evaluation does not say what was answered to which sample.
    :param parameters: what changed, the seed too; ``all_parameters`` as they are now, as JSON by name; of a
        labelling manifest, what people are asked.
    :param data: of a data manifest.
    :param revises: of a candidate that is a revision, the digest of what it revises; ``revision`` how equal they are,
        ``revised`` which test samples flipped between the two.
    :param compression: of a release manifest.
    :param parent: the same comparison of what this grew from: a release's candidate, a candidate's data.
    """

    kind: Kind
    use_case: str
    manifest: str
    champion: str
    metrics: list[Metric] = []
    classes: list[ClassRow] = []
    slices: list[SliceFigures] = []
    paired: Paired | None = None
    parameters: list[Change] = []
    all_parameters: dict[str, str] = {}
    code: list[Change] = []
    environment: list[Change] = []
    data: DataChanges | None = None
    revises: str = ""
    revision: Revision | None = None
    revised: Paired | None = None
    compression: Shrunk | None = None
    links: list[Link] = []
    parent: "Comparison | None" = None
