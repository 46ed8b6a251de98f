"""What a run hands on: the backbone, and what guidance trained beside it."""

from __future__ import annotations

from vesalius.backbones.weights import save_backbone
from vesalius.guidance.kept_heads import save_heads
from vesalius.training.module import PretrainingModule
from vesalius.training.run_folder import RunFolder, now

__all__ = ["export", "keep_untrained"]


def export(module: PretrainingModule, folder: RunFolder) -> None:
    """Write the backbone that the method exports, with the heads that read its tokens; each file atomically."""
    backbone = module.method.exported_backbone()
    save_backbone(backbone, folder.backbone, state=dict(backbone.state_dict()))
    if module.guidance is not None:
        save_heads(module.guidance, folder.guidance)


def keep_untrained(module: PretrainingModule, folder: RunFolder) -> None:
    """Hand on the backbone as it is initialised, where no step was asked for, and end the run."""
    export(module, folder)
    folder.update_state(status="done", finished=now(), seconds=0.0, steps_taken=0, epochs=0.0, images_seen=0)
