"""What stops a healthy training from outside, a full disk or too little memory, in words that say what to do."""

from __future__ import annotations

import errno
import shutil

from vesalius.devices import out_of_memory
from vesalius.errors import CheckpointError, RunError, TrainingError, VesaliusError
from vesalius.training.recipe import Recipe
from vesalius.training.run_folder import RunFolder
from vesalius.version import __version__

__all__ = ["explain"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LITTLE_BYTES = 16 * 2**20


def explain(error: BaseException, folder: RunFolder, recipe: Recipe) -> VesaliusError | None:
    """Return what to tell the user instead of `error`; None where the error is something else.

    Args:
        error: What ended the training. A full disk arrives as an `OSError`, or from within torch and safetensors as an
            error of their own, which is believed where the disk has less than 16 MiB left.
        folder: Of the run.
        recipe: Its batch is named where the memory did not suffice.
    """
    resume = "the last checkpoint is whole: " if folder.checkpoint.is_file() else "there was no checkpoint yet: "
    if _disk_is_full(error, folder):
        return RunError(f"{folder.path}: the disk is full; {resume}make room and go on with --resume")
    if out_of_memory(error):
        begun = f"; {resume}another batch needs a new run folder" if folder.exists else "; nothing was written yet"
        return TrainingError(
            f"out of memory with training.batch_size = {recipe.training.batch_size}: lower it, or the number and size "
            f"of the views (views.options){begun}"
        )
    if isinstance(error, RuntimeError) and "in loading state_dict" in str(error):
        made_by = folder.state().get("versions", {}).get("vesalius", "another version")
        return CheckpointError(
            f"{folder.checkpoint}: its parts have other names or shapes than vesalius {__version__} gives them (it "
            f"was written by {made_by}): resume with that version, or begin a new run from RUN/backbone by "
            "backbone.weights"
        )
    return None


def _disk_is_full(error: BaseException, folder: RunFolder) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    words = str(error).lower()
    wrote = "no space left" in words or "write" in words
    there = next(one for one in (folder.path, *folder.path.absolute().parents) if one.is_dir())
    return isinstance(error, Exception) and wrote and shutil.disk_usage(there).free < _LITTLE_BYTES
