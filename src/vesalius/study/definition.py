"""What a study compares: arms, the tables they fill, and the published figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vesalius.config import StrictModel, apply_overrides, build, load_yaml
from vesalius.errors import ConfigError, nearest
from vesalius.evaluation.amounts import ALL, in_order
from vesalius.evaluation.detection_options import DetectTraining
from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.segment_options import SegmentTraining
from vesalius.study.arm_product import spelled_out
from vesalius.study.written import check_written

__all__ = ["ON_LABELS", "ON_MAPS", "Study", "StudyArm", "StudyTable", "available_studies", "load_study", "usual_draws"]


ON_LABELS = ("knn", "linear", "finetune")
"""Classifiers, whose figures are of all images together."""

ON_MAPS = ("attention", "coordinates", "regions")
"""Tasks that learn from no labels."""


def usual_draws(task: str) -> int:
    """Return how often labels are drawn where a table does not say."""
    return 1 if task == "detect" else 3


class StudyArm(StrictModel):
    """One way to pretrain.

    Attributes:
        title: In tables.
        recipe: Shipped recipe or YAML file.
        set: Assignments that make the arm out of the recipe.
        untrained: The recipe's backbone as it is initialised: by `backbone.pretrained=true`, weights from elsewhere.
    """

    title: str
    recipe: str
    set: tuple[str, ...] = ()
    untrained: bool = False


class StudyTable(StrictModel):
    """One table: a row a scored store and label and a column an arm, or the other way round.

    Attributes:
        title: Above it.
        task: `attention`, `coordinates`, `segment`, `regions`, `detect`, `knn`, `linear` or `finetune`.
        metric: Of that task, see `vesalius.study.written`.
        decoder: Of segmentation, see `vesalius.evaluation.segment_options`; another than `linear` is trained.
        features: Kind of frozen features of a probe, see `vesalius.evaluation.feature_kinds`.
        k: Neighbours of k-NN.
        protocol: Who learns and who is scored, see `vesalius.evaluation.protocol.make_sides`; not of tasks on maps.
        folds: How many, where they are scored so.
        fraction: Amount of training labels that a probe, fine-tuning, segmentation or detection learns from, see
            `vesalius.evaluation.amounts`.
        fractions: Several amounts in its place: a row each, and a curve.
        draws: How often labels are drawn; of what is trained on them also trainings on all of them. By default
            three, of detection one.
        labels: Labels of a probe or fine-tuning that the table shows; empty for all that are asked for.
        parts: Of the masks, that segmentation learns and is scored by, in stores that have them; empty for all.
        image_size: Side of the input at scoring; by default the study's. Not of detection, see its options.
        arms: By name, in the order in which they are expected to grow better.
        rows: `labels`, or `arms` where there are many of them.
        beside: A baseline of every arm's own (`random_init`, where backbones differ) shown in the arm's cell.
        baselines: Arms of the results themselves that stand beside (`mean_template`, `chance`, ...).
        against: Arms or baselines that every arm is compared with; by default the neighbours in the table.
        published: Figures of the paper by data set (`jsrt`), label and arm or baseline, as shares of 1; of the largest
            amount.
        note: Below it.
    """

    title: str
    task: str
    metric: str
    decoder: Literal["linear", "fpn", "unet", "deeplabv3", "fcn"] = "linear"
    features: str = "auto"
    k: int = Field(default=20, ge=1)
    protocol: Literal["auto", "split", "folds"] = "auto"
    folds: int = Field(default=5, ge=2)
    fraction: float = ALL
    fractions: tuple[float, ...] = ()
    draws: int = Field(default=3, ge=1)
    labels: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    image_size: int | None = Field(default=None, ge=1)
    arms: tuple[str, ...] = Field(min_length=1)
    rows: Literal["labels", "arms"] = "labels"
    beside: str = ""
    baselines: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    published: Mapping[str, Mapping[str, Mapping[str, float]]] = {}
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _usual_draws(cls, given: Any) -> Any:
        return {"draws": usual_draws(str(given.get("task")))} | given if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _check_amounts(self) -> StudyTable:
        if self.fractions and self.fraction != ALL:
            raise ValueError("fraction and fractions: give one of them")
        try:
            in_order((self.fraction, *self.fractions))
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if self.task in ON_MAPS and self.amounts != (ALL,):
            raise ValueError(f"task {self.task} learns from no labels; leave fraction out")
        sides = self.protocol != "auto" or self.folds != type(self).model_fields["folds"].default
        if self.protocol == "split" and self.folds != type(self).model_fields["folds"].default:
            raise ValueError("protocol split keeps to the store's own sides; leave folds out")
        if self.task in ON_MAPS and sides:
            raise ValueError(f"task {self.task} learns from no labels; leave protocol and folds out")
        if self.task == "detect" and sides:
            raise ValueError("task detect keeps to the folder's own sides; leave protocol and folds out")
        if self.task != "knn" and self.k != type(self).model_fields["k"].default:
            raise ValueError(f"k = {self.k}: belongs to task knn, not {self.task}")
        return self

    @model_validator(mode="after")
    def _check_what_is_shown(self) -> StudyTable:
        if self.labels and self.task not in ON_LABELS:
            parts = "; name parts of the masks as parts: [...]" if self.task == "segment" else ""
            raise ValueError(f"labels: task {self.task} predicts none; leave them out{parts}")
        if self.parts and self.task != "segment":
            raise ValueError(f"parts: belong to task segment, not {self.task}")
        if self.image_size is not None and self.task == "detect":
            raise ValueError('image_size: of task detect it is among its options; write detect: ["size=..."]')
        return self

    @model_validator(mode="after")
    def _check_written(self) -> StudyTable:
        check_written(self.task, self.metric, (*self.baselines, *([self.beside] if self.beside else [])))
        return self

    @property
    def amounts(self) -> tuple[float, ...]:
        """Amounts of labels, from few to all."""
        return in_order(self.fractions or (self.fraction,))

    def shows(self, label: str) -> bool:
        """Say whether a probe of this label belongs to the table."""
        return not self.labels or label in self.labels


class Study(StrictModel):
    """Arms and tables.

    Attributes:
        about: What is compared, and after whom.
        arms: By name.
        tables: By name.
        pool: `shared`: all arms are trained on all stores of `--data`. `own`: every store is a study of its own, whose
            arms are trained on its images and scored on it alone; the tables show all of them (Matsoukas 2022).
        image_size: Side of the input at scoring where a table has none; None for the size of the training.
        finetune: Assignments for every fine-tuning, see `vesalius.evaluation.finetune_options`.
        segment: Assignments for every segmentation network, see `vesalius.evaluation.segment_options`.
        detect: Assignments for every detector, see `vesalius.evaluation.detection_options`.
        data: Stores to pretrain on, `STORE` or `STORE@all`; these and the next three by their paths from the file.
        masks: Stores whose masks are scored by.
        labels: `STORE=LABEL` of probes and fine-tuning.
        objects: Folders in COCO's format.
        seeds: Trainings an arm.
    """

    about: str
    arms: Mapping[str, StudyArm] = Field(min_length=1)
    tables: Mapping[str, StudyTable] = Field(min_length=1)
    pool: Literal["shared", "own"] = "shared"
    image_size: int | None = None
    finetune: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()
    detect: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    seeds: int = Field(default=1, ge=1)

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            store, _, label = text.rpartition("=")
            if not (store and label):
                raise ValueError(f"{text}: expected STORE=LABEL")
        return given

    @model_validator(mode="after")
    def _check_titles(self) -> Study:
        titles = [arm.title for arm in self.arms.values()]
        titles += list({name.replace("_", " ") for table in self.tables.values() for name in table.baselines})
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(
                f"title '{twice[0]}': of two arms, or of an arm and a baseline; tables would show one of them"
            )
        return self

    @model_validator(mode="after")
    def _check_options(self) -> Study:
        kinds: dict[str, type[StrictModel]] = {
            "finetune": FinetuneOptions, "segment": SegmentTraining, "detect": DetectTraining,
        }  # fmt: skip
        for name, kind in kinds.items():
            try:
                build(kind, apply_overrides({}, getattr(self, name)), source=name)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _check_arms(self) -> Study:
        for name, table in self.tables.items():
            if table.decoder != "linear" and table.task != "segment":
                raise ValueError(f"table {name}: decoder {table.decoder} belongs to task segment, not {table.task}")
            for arm in table.arms:
                if arm not in self.arms:
                    raise ValueError(f"table {name}: no arm '{arm}'{nearest(arm, self.arms)}")
            papers = {arm for labels in table.published.values() for arms in labels.values() for arm in arms}
            for arm in sorted(papers - {*self.arms, *table.baselines, table.beside}):
                raise ValueError(f"table {name}: published of '{arm}', no arm or baseline{nearest(arm, self.arms)}")
            for other in table.against:
                if other not in (known := (*self.arms, *table.baselines, table.beside)):
                    raise ValueError(f"table {name}: against '{other}', no arm or baseline{nearest(other, known)}")
        return self

    @property
    def labelled(self) -> tuple[tuple[str, str], ...]:
        """Stores and labels."""
        return tuple((text.rpartition("=")[0], text.rpartition("=")[2]) for text in self.labels)

    def placed(self, folder: Path) -> Study:
        """Return it with the paths of its stores as they are from a folder."""
        paths = {kind: tuple(str(folder / one) for one in getattr(self, kind)) for kind in ("data", "masks", "objects")}
        labels = tuple(f"{folder / store}={label}" for store, label in self.labelled)
        return self.model_copy(update={**paths, "labels": labels})

    def some(self, arms: tuple[str, ...]) -> Study:
        """Return the study of these arms alone, in the order of the study.

        Raises:
            ConfigError: An arm that the study does not have.
        """
        for arm in arms:
            if arm not in self.arms:
                raise ConfigError(
                    f"no arm '{arm}' in this study{nearest(arm, self.arms)}; it has {', '.join(self.arms)}"
                )
        kept = {name: arm for name, arm in self.arms.items() if not arms or name in arms}
        tables = {
            name: table.model_copy(update={"arms": tuple(arm for arm in table.arms if arm in kept)})
            for name, table in self.tables.items()
            if any(arm in kept for arm in table.arms)
        }
        return self.model_copy(update={"arms": kept, "tables": tables})


def available_studies() -> dict[str, Path]:
    """Return the shipped studies by name."""
    folder = resources.files("vesalius") / "studies"
    return {entry.name.removesuffix(".yaml"): Path(str(entry)) for entry in sorted(folder.iterdir(), key=str)
            if entry.name.endswith(".yaml")}  # fmt: skip


def load_study(name: str | Path) -> Study:
    """Load a shipped study, or one from a YAML file.

    Raises:
        ConfigError: There is none of this name, or it cannot be read.
    """
    shipped = available_studies()
    path = shipped.get(str(name), Path(name))
    if not path.is_file():
        raise ConfigError(f"no study '{name}'{nearest(str(name), shipped)}; shipped are {', '.join(shipped)}")
    return build(Study, spelled_out(load_yaml(path), source=str(path)), source=str(path)).placed(path.parent)
