"""What failed of a study, written down until it is done: `failed/<arm>-seed<n>.txt`."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vesalius.atomic import replace_text
from vesalius.errors import VesaliusError

__all__ = ["Failures", "reason"]


def reason(error: Exception) -> str:
    """Return an error in one line; of one that is no error of the input's, its kind as well."""
    text = " ".join(str(error).split())
    return text if isinstance(error, VesaliusError) else f"{type(error).__name__}: {text}"


@dataclass(frozen=True, slots=True)
class Failures:
    """A file a training: in its first line why it failed, below every trace.

    Attributes:
        folder: Of the files.
    """

    folder: Path

    def tell(self, name: str, seed: int, errors: Mapping[str, Exception]) -> str:
        """Write down what failed of a training, and return it in one line.

        Args:
            name: The arm.
            seed: Which training of it.
            errors: By the task that could not be scored; by an empty name what kept all of it from being done.
        """
        why = "; ".join(f"{task}: {reason(error)}" if task else reason(error) for task, error in errors.items())
        traces = ["".join(traceback.format_exception(error)) for error in errors.values()]
        replace_text(self._file(name, seed), "\n\n".join([why, *traces]))
        return why

    def forget(self, name: str, seed: int) -> None:
        """Remove what was written of a training, which is done."""
        self._file(name, seed).unlink(missing_ok=True)

    def told(self) -> dict[tuple[str, int], str]:
        """Return why trainings failed, by arm and seed."""
        found = {}
        for file in sorted(self.folder.glob("*-seed*.txt")):
            name, _, seed = file.stem.rpartition("-seed")
            found[name, int(seed)] = file.read_text(encoding="utf-8").partition("\n")[0]
        return found

    def _file(self, name: str, seed: int) -> Path:
        return self.folder / f"{name}-seed{seed}.txt"
