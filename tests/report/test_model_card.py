"""The card beside the weights: what the hub reads, what a reader reads, and code that runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.data.store import Store
from vesalius.errors import RunError
from vesalius.report.model_card import write_model_card
from vesalius.report.page import report
from vesalius.report.run_folder import read_run
from vesalius.report.stores import Stores

RunBuilder = Callable[..., Path]


def _card(run: Path, store: Store) -> str:
    return write_model_card(read_run(run), Stores([store])).read_text()


def test_front_matter_is_what_the_hub_reads(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    text = _card(build_run(tmp_path / "vit"), store)
    front = text.split("---\n")[1]
    content = yaml.safe_load(front)
    assert content["library_name"] == "timm"
    assert "datasets" not in content  # ids of the hub, which a folder's name is not
    assert "# datasets: to be filled in" in front
    assert "phantom_store" not in front
    assert {"medical-imaging", "dino"} <= set(content["tags"])
    assert "license" not in content  # the authors' to choose, and said so
    assert "# license: to be chosen" in front


def test_sections_scores_and_blanks(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    text = _card(build_run(tmp_path / "vit"), store)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == [
        "Model details",
        "Intended use",
        "Out of scope",
        "Training data",
        "Training procedure",
        "Evaluation",
        "Limitations",
        "Environment",
        "How to load",
        "Citation",
    ]
    row = next(line for line in text.splitlines() if line.startswith("| effusion (phantom_store) | Nearest"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:8] == ["0.910 (0.890 to 0.930)", "0.780 (0.760 to 0.800)", "0.740 (0.720 to 0.760)", "0.500"]
    head = next(line for line in text.splitlines() if line.startswith("| Label | How"))
    assert head.count("|") == row.count("|")
    assert len(re.findall(r"_To be filled in by the authors[.:]", text)) >= 8
    assert "none of" in text  # the check of overlap
    assert "| Refused: " in text
    assert "vesalius pretrain dino-cxr" in text


@pytest.mark.parametrize("architecture", ["resnet18", "vit_tiny_patch16_224", "vitae_v2_half"])
def test_the_code_shown_runs(
    build_run: RunBuilder, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    run = build_run(tmp_path / "run")
    backbone = create_backbone(BackboneConfig(name=architecture, image_size=64, in_chans=1, drop_path=0.0))
    save_backbone(backbone, run / "backbone", state=backbone.state_dict())
    code = re.search(r"```python\n(.*?)```", _card(run, store), re.DOTALL)
    assert code
    assert ("import vesalius" in code[1]) == architecture.startswith("vitae")
    Image.effect_noise((90, 70), 60).save(run / "image.png")
    monkeypatch.chdir(run)
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert names["pixels"].shape == (1, 64, 64)
    assert names["features"].shape == (1, backbone.feature_dim)


def test_a_card_is_renewed_unless_it_was_changed_by_hand(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    first = _card(run, store)
    for folder in (run / "evaluations").glob("*-opacity-*"):
        (folder / "result.json").unlink()
    second = _card(run, store)
    assert "opacity" in first
    assert "opacity" not in second
    (run / "backbone" / "README.md").write_text(second.replace("_To be filled in by the authors._", "A. Vesalius", 1))
    with pytest.raises(RunError, match="was changed by hand"):
        report([run], tmp_path / "report.html", model_card=True)
    assert not (tmp_path / "report.html").exists()
    assert "A. Vesalius" in (run / "backbone" / "README.md").read_text()


def test_without_a_backbone_the_error_says_so(build_run: RunBuilder, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    (run / "backbone" / "config.json").unlink()
    with pytest.raises(RunError, match="holds no backbone to write a card of"):
        report([run], tmp_path / "report.html", model_card=True)


def test_names_do_not_become_markdown_or_html(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    evil = "x | y <img src=q> ](z) `t` _a_\n# h"
    run = build_run(tmp_path / "vit", about={"recipe": evil, "notes": [evil], "alarms": [evil], "command": "```\n# h"})
    (run / "recipe.yaml").write_text("name: '```'\n")
    text = _card(run, store)
    assert "<img" not in text
    assert "\n# h" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert text.count("```") == 6
    assert r"x \| y &lt;img src=q> \](z) \`t\` \_a\_ # h" in text
