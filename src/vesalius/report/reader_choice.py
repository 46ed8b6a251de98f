"""How what reads the features was chosen, and over what its scores are means, from a result's settings."""

from __future__ import annotations

from dataclasses import dataclass

from vesalius.evaluation.amounts import ALL
from vesalius.records.result import Result, Score
from vesalius.report.wording import METRICS, count, joined, learns_on, plain_name, task_name

__all__ = ["Repeats", "reader_choice", "repeats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What a result was repeated over.

    Attributes:
        draws: Of a share of the labels, by the pretrained arm.
        trainings: Of the pretrained arm on all labels.
        twins: Networks of other untrained weights.
    """

    draws: int
    trainings: int
    twins: int

    def in_words(self) -> str:
        """`up to 5 draws of labels and 2 untrained networks`; empty where nothing was repeated."""
        said = [
            f"up to {count(self.draws, 'draw')} of labels" if self.draws > 1 else "",
            f"{count(self.trainings, 'training')} on all labels" if self.trainings > 1 else "",
            f"{count(self.twins, 'untrained network')}" if self.twins > 1 else "",
        ]
        return joined([words for words in said if words])


def repeats(result: Result) -> Repeats:
    """Count what the scores are means over.

    With all labels there is nothing to draw: there the seeds are trainings, or of the untrained arm its networks.
    """
    ours = [score for score in result.scores if score.arm == "pretrained"]
    untrained = [score for score in result.scores if score.arm == "random_init"]
    # Where networks learn on, the seeds of the untrained arm are trainings as well.
    told = result.settings.get("random_inits", 1 if learns_on(result) else _most_seeds(untrained, of_all=True))
    return Repeats(
        draws=_most_seeds(ours, of_all=False),
        trainings=_most_seeds(ours, of_all=True),
        twins=int(told) if untrained else 0,
    )


def _most_seeds(scores: list[Score], *, of_all: bool) -> int:
    return max((score.seeds for score in scores if (score.fraction == ALL) == of_all), default=0)


def reader_choice(result: Result) -> str:
    """Say by what the reader of the features was chosen; empty where that is not known."""
    settings, words = result.settings, ""
    if result.task == "knn" and "k" in settings:
        words = f"k = {settings['k']}, set beforehand"
    elif result.task == "linear" and settings.get("solver") == "sgd":
        words = "the layer after the last step"
    elif result.task == "linear":
        words = "the strength of the regularisation by cross-validation over patients of the training side"
    elif result.task == "finetune":
        words = _rounds(result, "finetune", str((settings.get("finetune") or {}).get("select", "roc_auc")))
    elif result.task == "segment":
        words = _rounds(result, "training", "dice") if learns_on(result) else "one layer, nothing chosen by a score"
    elif result.task == "detect":
        words = "the network after the last step"
    elif result.task == "attention":
        words = "the head that was guided to a part, else the best one on the other half of the patients"
    return f"{task_name(result)}: {words}." if words else ""


def _rounds(result: Result, key: str, metric: str) -> str:
    options, held = result.settings.get(key) or {}, result.settings.get("held_out_images")
    images = f"{count(int(held), 'image')} held out" if held else "images held out"
    rate = ", and the learning rate as well" if options.get("search") == "lr" else ""
    return f"the best round by {METRICS.get(metric, plain_name(metric))} on {images} from the training side{rate}"
