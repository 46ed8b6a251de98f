"""Arms that are the product of choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.errors import ConfigError
from vesalius.study.definition import load_study

PRODUCT = """
about: Methods on backbones
arms:
  alone: {title: Alone, recipe: dino/small}
  ${method}_$backbone:
    for:
      method: [simsiam, byol]
      backbone: {r18: {title: ResNet-18, timm: resnet18}, r34: {title: ResNet-34, timm: resnet34}}
    title: $method on ${backbone.title}, costs $$3
    recipe: $method/small
    set: ["backbone.name=${backbone.timm}", "optimizer.lr=1e-3"]
  dino_$backbone:
    for: {backbone: {vit: {title: ViT}}}
    title: DINO on ${backbone.title}
    recipe: dino/small
tables:
  all: {title: All, task: knn, metric: roc_auc, arms: [alone, "${method}_$backbone"], against: [alone]}
  some: {title: Some, task: knn, metric: roc_auc, arms: [byol_$backbone], against: ["${method}_r18"]}
  dino: {title: DINO, task: knn, metric: roc_auc, arms: [dino_$backbone]}
"""


def _load(folder: Path, text: str) -> object:
    (folder / "study.yaml").write_text(text)
    return load_study(folder / "study.yaml")


def test_every_combination_is_an_arm(tmp_path: Path) -> None:
    study = _load(tmp_path, PRODUCT)
    product = ["simsiam_r18", "simsiam_r34", "byol_r18", "byol_r34"]
    assert list(study.arms) == ["alone", *product, "dino_vit"]
    one = study.arms["byol_r34"]
    assert (one.title, one.recipe) == ("byol on ResNet-34, costs $3", "byol/small")
    assert one.set == ("backbone.name=resnet34", "optimizer.lr=1e-3")
    assert study.tables["all"].arms == ("alone", *product)
    assert study.tables["some"].arms == ("byol_r18", "byol_r34")
    assert study.tables["some"].against == ("simsiam_r18", "byol_r18")
    assert study.tables["dino"].arms == ("dino_vit",)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("$method/small", "$methods/small", r"arms.*recipe: .*no choice gives \$\{methods\}; did you mean 'method'"),
        (
            "${backbone.timm}",
            "${backbone.tim}",
            r"set: .*no choice gives \$\{backbone.tim\}; did you mean 'backbone.timm'",
        ),
        ("costs $$3", "costs $3", r"title: .*Invalid placeholder.*write \$\$ for a dollar"),
        ("  ${method}_$backbone:\n", "  $method:\n", "two arms are named 'simsiam'; let the name hold every choice"),
        ("dino_$backbone:\n", "alone_$backbone:\n", r"tables.dino.arms: no arm is named as 'dino_\$backbone'"),
        ("[byol_$backbone]", "[byol_$bone]", r"tables.some.arms: .*no choice gives \$\{bone\}"),
        ("method: [simsiam, byol]", "method: simsiam", r"for.method: expected choices"),
        ("method: [simsiam, byol]", "method: []", r"for.method: expected choices"),
        (
            "for: {backbone: {vit: {title: ViT}}}",
            "for: {backbone: {vit: ViT}}",
            r"or \{resnet18: \{title: ResNet-18\}\}",
        ),
        ("for: {backbone: {vit: {title: ViT}}}", "for: backbone", r"dino_\$backbone.for: expected choices"),
    ],
)
def test_choices_that_are_none_are_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in PRODUCT
    with pytest.raises(ConfigError, match=rf"study.yaml: .*{why}"):
        _load(tmp_path, PRODUCT.replace(old, new, 1))


@pytest.mark.parametrize("arms", ["arms: 3", "arms: {a: 3}", "arms: {a: {title: A}}"])
def test_what_is_no_study_is_left_to_its_own_message(tmp_path: Path, arms: str) -> None:
    with pytest.raises(ConfigError, match=r"study.yaml:\n"):
        _load(tmp_path, f"about: a\n{arms}\ntables: [1]\n")
