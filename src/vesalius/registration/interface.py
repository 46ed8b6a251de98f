"""What every registration offers: images onto one template, many at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vesalius.registration.deformation import Deformation

__all__ = ["Registration"]


class Registration(ABC):
    """Finds where every pixel of an image lies in a template: an affine first, then a cubic B-spline."""

    name: str

    @abstractmethod
    def register(
        self,
        images: Float[Tensor, "batch 1 height width"],
        template: Float[Tensor, "1 1 rows columns"],
        focus: Float[Tensor, "1 1 rows columns"] | None = None,
    ) -> Deformation:
        """Register every image to the template.

        Args:
            images: Gray, values in [0, 1].
            template: The same, of any size.
            focus: How much each place of the template counts in the comparison, for a backend that can weigh; all the
                same when None.

        Raises:
            RegistrationError: An image has no contrast, or the search ended in numbers that are not finite.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Tell everything that shapes the result, in plain types."""
