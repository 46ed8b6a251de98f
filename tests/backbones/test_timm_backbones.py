"""Every family behind one interface: grids, channels, attention, weights from disk, exported folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers.drop import DropPath

from vesalius.backbones.create_backbone import BackboneConfig, create_backbone
from vesalius.backbones.load import load_backbone
from vesalius.backbones.weights import save_backbone
from vesalius.errors import BackboneError

FAMILIES = [
    ("vit_tiny_patch16_224", 64, (4, 4), 192, True),
    ("vit_tiny_patch16_224", 100, (7, 7), 192, True),
    ("vit_small_patch8_224", 48, (6, 6), 384, True),
    ("deit_tiny_distilled_patch16_224", 64, (4, 4), 192, True),
    ("swin_tiny_patch4_window7_224", 64, (2, 2), 768, False),
    ("resnet18", 64, (2, 2), 512, False),
    ("inception_v3", 96, (1, 1), 2048, False),
]


@pytest.mark.parametrize(("name", "size", "grid", "dim", "cls"), FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_features_of_every_family(
    name: str, size: int, grid: tuple[int, int], dim: int, cls: bool, channels: int
) -> None:
    backbone = create_backbone(BackboneConfig(name=name, image_size=size, in_chans=channels)).eval()
    features = backbone.forward_features(torch.randn(2, channels, size, size))
    assert features.grid == grid
    assert features.patches.shape == (2, grid[0] * grid[1], dim)
    assert features.pooled.shape == (2, dim) == (2, backbone.feature_dim)
    assert (features.cls is not None) is cls is backbone.has_cls


@pytest.mark.parametrize(
    ("name", "made_for", "given"), [("vit_tiny_patch16_224", 64, (48, 80)), ("resnet18", 64, (40, 72))]
)
def test_other_input_sizes_are_admitted(name: str, made_for: int, given: tuple[int, int]) -> None:
    backbone = create_backbone(BackboneConfig(name=name, image_size=made_for)).eval()
    features = backbone.forward_features(torch.randn(1, 1, *given))
    assert features.patches.shape[1] == features.grid[0] * features.grid[1]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_attention_row_equals_the_models_own_attention(name: str) -> None:
    backbone = create_backbone(BackboneConfig(name=name, image_size=64)).eval()
    attention = backbone.model.blocks[-1].attn
    attention.fused_attn = False
    seen: list[torch.Tensor] = []
    handle = attention.attn_drop.register_forward_hook(lambda module, arguments, output: seen.append(output))
    with torch.no_grad():
        features = backbone.forward_features(torch.randn(2, 1, 64, 64), attention=True)
    handle.remove()
    assert features.attention is not None
    torch.testing.assert_close(features.attention, seen[0][:, :, 0, backbone.prefix_tokens :], rtol=1e-5, atol=1e-6)
    assert (features.attention.sum(-1) < 1).all()


def test_attention_row_carries_gradients() -> None:
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=32))
    row = backbone.forward_features(torch.randn(1, 1, 32, 32), attention=True).attention
    assert row is not None
    row[:, :, 0].sum().backward()
    assert backbone.model.blocks[0].attn.qkv.weight.grad.abs().sum() > 0


def test_attention_of_a_family_without_cls_is_refused() -> None:
    with pytest.raises(BackboneError, match="no \\[CLS\\] token"):
        create_backbone(BackboneConfig(name="resnet18")).forward_features(torch.randn(1, 1, 64, 64), attention=True)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet18", "inception_v3"])
def test_exported_folder_opens_in_timm_with_the_same_features(name: str, tmp_path: Path) -> None:
    size = 96
    backbone = create_backbone(BackboneConfig(name=name, image_size=size)).eval()
    save_backbone(backbone, tmp_path / "backbone", state=dict(backbone.state_dict()))
    opened = timm.create_model(f"local-dir:{tmp_path / 'backbone'}", pretrained=True).eval()
    again = load_backbone(tmp_path / "backbone")
    x = torch.randn(2, 1, size, size)
    with torch.no_grad():
        theirs, ours = opened.forward_features(x), backbone.model.forward_features(x)
        largest = ours.abs().max()  # an untrained Inception's features are in the millions
        torch.testing.assert_close(theirs / largest, ours / largest, rtol=0, atol=1e-5)
        torch.testing.assert_close(again(x) / largest, backbone(x) / largest, rtol=0, atol=1e-5)
    assert again.preprocessing == backbone.preprocessing


@pytest.mark.parametrize(
    ("name", "imports", "opens"),
    [
        ("test_resnet", "timm", True),
        ("test_vit", "timm", True),
        ("vitae_v2_half", "timm", False),
        ("vitae_v2_half", "timm, vesalius.backbones.vitae_v2", True),
    ],
)
def test_timm_alone_opens_what_it_knows(name: str, imports: str, opens: bool, tmp_path: Path) -> None:
    """In a process of its own, as the documentation has it."""
    backbone = create_backbone(BackboneConfig(name=name, image_size=64))
    save_backbone(backbone, tmp_path / "backbone", state=dict(backbone.state_dict()))
    code = f"""
import sys, {imports}
assert ("vesalius" in sys.modules) is ("vesalius" in "{imports}")
timm.create_model("local-dir:backbone", pretrained=True)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is opens, done.stderr
    assert opens or "Unknown model (vitae_v2_half)" in done.stderr


def test_local_weights_are_folded_to_gray_by_summing(tmp_path: Path) -> None:
    colour = timm.create_model("resnet18", num_classes=0)
    file = tmp_path / "weights.safetensors"
    save_file(colour.state_dict(), file)
    gray = create_backbone(BackboneConfig(name="resnet18", in_chans=1, weights=file))
    torch.testing.assert_close(gray.model.conv1.weight, colour.conv1.weight.sum(1, keepdim=True))
    assert gray.preprocessing.mean == pytest.approx((0.449,), abs=1e-3)


def test_local_weights_of_another_size_have_their_positions_resampled(tmp_path: Path) -> None:
    large = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": large.state_dict()}, file)
    small = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=112, in_chans=3, weights=file))
    torch.testing.assert_close(small.model.blocks[3].mlp.fc1.weight, large.blocks[3].mlp.fc1.weight)
    assert small.model.pos_embed.shape[1] == 50


def test_a_foreign_pickle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"model": Path("x")}, file)
    with pytest.raises(BackboneError, match=r"weights\.pth: not readable as weights"):
        create_backbone(BackboneConfig(name="resnet18", weights=file))


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02garbage"])
def test_damaged_weights_are_named(tmp_path: Path, content: bytes) -> None:
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"weights{suffix}"
        file.write_bytes(content)
        with pytest.raises(BackboneError, match="not readable as weights"):
            create_backbone(BackboneConfig(name="resnet18", weights=file))


def test_missing_weights_and_unknown_names() -> None:
    with pytest.raises(BackboneError, match="no such weights"):
        create_backbone(BackboneConfig(name="resnet18", weights=Path("nowhere.pth")))
    with pytest.raises(BackboneError, match="did you mean 'resnet18"):
        create_backbone(BackboneConfig(name="resnet_18"))
    with pytest.raises(BackboneError, match="in_chans = 2"):
        create_backbone(BackboneConfig(name="resnet18", in_chans=2))


def test_published_weights_without_a_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BackboneError, match=r"name a local file by backbone\.weights"):
        create_backbone(BackboneConfig(name="vit_tiny_patch16_224", in_chans=1, pretrained=True))


def test_twin_is_the_same_architecture_with_other_weights_and_no_stochastic_depth() -> None:
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=32, drop_path=0.2))
    twin = backbone.twin()
    assert [p.shape for p in twin.parameters()] == [p.shape for p in backbone.parameters()]
    assert not torch.equal(twin.model.blocks[0].attn.qkv.weight, backbone.model.blocks[0].attn.qkv.weight)
    twin.train()
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(twin(x), twin(x))


def test_no_stochastic_depth_is_none_at_all() -> None:
    """timm gives a Swin .1 by default; neither a student asked for 0 nor a teacher has any."""
    rates = lambda model: {one.drop_prob for one in model.modules() if isinstance(one, DropPath)}  # noqa: E731
    still = create_backbone(BackboneConfig(name="swin_tiny_patch4_window7_224", image_size=56, drop_path=0.0))
    moved = create_backbone(BackboneConfig(name="swin_tiny_patch4_window7_224", image_size=56, drop_path=0.2))
    assert rates(still) | rates(still.twin()) | rates(moved.twin()) <= {0.0}
    assert max(rates(moved)) == pytest.approx(0.2)
    assert "drop_path_rate" not in moved.description()["model_args"]


def test_tokens_are_left_out_in_the_students_training_only() -> None:
    config = BackboneConfig(name="vit_tiny_patch16_224", image_size=64, patch_drop=0.5, drop_path=0.0)
    student, x = create_backbone(config).train(), torch.randn(3, 1, 64, 64)
    features = student.forward_features(x)
    assert (features.grid, features.patches.shape) == ((4, 4), (3, 8, 192))
    assert features.kept.shape == (3, 8)
    assert not torch.equal(student(x), student(x))
    whole = student.eval().forward_features(x)
    assert (whole.grid, whole.patches.shape, whole.kept) == ((4, 4), (3, 16, 192), None)
    twin = student.twin().train()
    assert twin.forward_features(x).patches.shape == (3, 16, 192)
    assert "patch_drop_rate" not in student.description()["model_args"]
    with pytest.raises(BackboneError, match=r"patch_drop = 0\.5: only plain ViTs leave tokens out, resnet18 cannot"):
        create_backbone(BackboneConfig(name="resnet18", patch_drop=0.5))


def test_stages_run_from_fine_to_coarse() -> None:
    stages = (
        create_backbone(BackboneConfig(name="resnet18")).forward_features(torch.randn(1, 1, 64, 64), stages=True).stages
    )
    sides = [stage.shape[-1] for stage in stages]
    assert len(sides) >= 4
    assert sides == sorted(sides, reverse=True)


@pytest.mark.parametrize("pool", ["cls", "mean", "average"])
def test_pooling_is_what_was_asked_and_survives_the_export(pool: str, tmp_path: Path) -> None:
    backbone = create_backbone(BackboneConfig(name="vit_tiny_patch16_224", image_size=32, pool=pool)).eval()  # type: ignore[arg-type]
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        features = backbone.forward_features(x)
        assert features.cls is not None
        mean = features.patches.mean(1)
        wanted = {"cls": features.cls, "mean": mean, "average": (features.cls + mean) / 2}[pool]
        torch.testing.assert_close(features.pooled, wanted)
        save_backbone(backbone, tmp_path, state=dict(backbone.state_dict()))
        torch.testing.assert_close(load_backbone(tmp_path)(x), wanted)
        assert backbone.twin().pool == pool


def test_cls_of_a_family_without_it_and_xavier_of_a_cnn_are_refused() -> None:
    with pytest.raises(BackboneError, match="has no \\[CLS\\] token; use 'mean'"):
        create_backbone(BackboneConfig(name="resnet18", pool="cls"))
    with pytest.raises(BackboneError, match="is for plain ViTs"):
        create_backbone(BackboneConfig(name="resnet18", init="xavier"))


def test_an_attention_of_another_kind_has_no_row_to_give() -> None:
    """Rotated keys, or biases of their own, are not what the row would be computed from."""
    for name in ("vit_small_patch16_rope_224", "beit_base_patch16_224"):
        backbone = create_backbone(BackboneConfig(name=name, in_chans=3, drop_path=0.0, image_size=224))
        assert backbone.has_cls
        assert backbone.attention_heads == 0
        with pytest.raises(BackboneError, match="has an attention of its own kind"):
            backbone.forward_features(torch.zeros(1, 3, 224, 224), attention=True)


def test_weights_of_other_names_are_refused(tmp_path: Path) -> None:
    """timm takes what fits and says nothing: a checkpoint of a training would leave random weights."""
    donor = create_backbone(BackboneConfig(name="test_vit", image_size=32))
    own, file = donor.model.state_dict(), tmp_path / "last.ckpt"
    torch.save({"state_dict": {f"method.student.model.{key}": value for key, value in own.items()}}, file)
    with pytest.raises(
        BackboneError, match=r"last\.ckpt: no weights in it for .* parts of test_vit .*named method\.st"
    ):
        create_backbone(BackboneConfig(name="test_vit", image_size=32, weights=file))
    some = {key: value for key, value in own.items() if not key.startswith("blocks.1.mlp")}
    torch.save(some, file)
    with pytest.raises(BackboneError, match=r"no weights in it for 2 parts of test_vit \(blocks\.1\.mlp\.fc1\.weight"):
        create_backbone(BackboneConfig(name="test_vit", image_size=32, weights=file))


def test_a_folder_brings_its_own_mean_and_std(tmp_path: Path) -> None:
    config = BackboneConfig(name="test_vit", image_size=32, mean=(0.3,), std=(0.2,))
    trained = create_backbone(config)
    save_backbone(trained, tmp_path / "backbone", state=dict(trained.state_dict()))
    again = create_backbone(BackboneConfig(name="test_vit", image_size=32, weights=tmp_path / "backbone"))
    assert (again.preprocessing.mean, again.preprocessing.std) == ((0.3,), (0.2,))
    asked = create_backbone(config.model_copy(update={"mean": (0.4,), "weights": tmp_path / "backbone"}))
    assert (asked.preprocessing.mean, asked.preprocessing.std) == ((0.4,), (0.2,))
    (tmp_path / "backbone" / "config.json").write_text("{")
    with pytest.raises(BackboneError, match=r"config\.json: not readable"):
        create_backbone(BackboneConfig(name="test_vit", image_size=32, weights=tmp_path / "backbone"))


def test_too_little_memory_is_not_called_an_input_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = create_backbone(BackboneConfig(name="test_vit", image_size=32))
    monkeypatch.setattr(backbone.model, "forward_features", lambda _: torch.empty(1 << 60))
    with pytest.raises(RuntimeError, match="allocate memory"):
        backbone(torch.zeros(1, 1, 32, 32))
