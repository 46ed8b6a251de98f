"""elastix (Klein 2010) as a backend: affine, then cubic B-spline, one image at a time on one thread."""

from __future__ import annotations

import tempfile
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vesalius.config import StrictModel
from vesalius.errors import ConfigError, RegistrationError
from vesalius.registration.deformation import Deformation, warp
from vesalius.registration.equalise import equalise
from vesalius.registration.interface import Registration
from vesalius.registration.similarity import GlobalCorrelation

__all__ = ["ElastixOptions", "ElastixRegistration"]


class ElastixOptions(StrictModel):
    """How elastix searches.

    Attributes:
        maps: `tuned` (three levels, normalised correlation) or `default` (elastix's own affine and B-spline parameter
            maps, four levels, mutual information); what follows is for `tuned` only.
        spacing: Of the B-spline's control points in pixels.
        iterations: A level.
        samples: Pixels compared an iteration.
        exact_samples: Pixels that elastix estimates its step sizes from; its default of 4,096 takes longer than the
            whole search and finds nothing better.
        equalised: Compare equalised images, as the batched backend does.
    """

    maps: Literal["tuned", "default"] = "tuned"
    spacing: float = Field(default=24.0, gt=0)
    iterations: int = Field(default=256, ge=1)
    samples: int = Field(default=2048, ge=1)
    exact_samples: int = Field(default=1024, ge=1)
    equalised: bool = True


class ElastixRegistration(Registration):
    """Needs itk-elastix (`pip install 'vesalius[registration]'`)."""

    name = "elastix"

    def __init__(self, options: ElastixOptions | None = None) -> None:
        """Take the options.

        Raises:
            ConfigError: itk-elastix is not installed.
        """
        self.options = options or ElastixOptions()
        _itk()

    def register(
        self,
        images: Float[Tensor, "batch 1 height width"],
        template: Float[Tensor, "1 1 rows columns"],
        focus: Float[Tensor, "1 1 rows columns"] | None = None,  # noqa: ARG002 (elastix knows masks, no weights)
    ) -> Deformation:
        """Register one after the other on the CPU, every place counting the same; see `Registration.register`."""
        own = images.device
        fixed, moving = (equalise(x.cpu()) if self.options.equalised else x.cpu() for x in (images, template))
        found = torch.stack([self._register(one[0], moving[0, 0]) for one in fixed])
        similarity = GlobalCorrelation(fixed)(warp(moving, found))
        return Deformation(coordinates=found.to(own), similarity=similarity.to(own))

    def description(self) -> dict[str, Any]:
        """Tell the options."""
        return {"backend": self.name, **self.options.model_dump(mode="json")}

    def _register(self, image: Tensor, template: Tensor) -> Float[Tensor, "2 height width"]:
        itk = _itk()
        fixed, moving = (itk.image_view_from_array(x.numpy().astype(np.float32)) for x in (image, template))
        try:
            _, found = itk.elastix_registration_method(
                fixed, moving, parameter_object=self._parameters(), log_to_console=False, number_of_threads=1
            )
            with tempfile.TemporaryDirectory() as folder:  # it writes the field to a file as well, wherever it stands
                field = itk.array_from_image(itk.transformix_deformation_field(moving, found, output_directory=folder))
        except RuntimeError as error:
            raise RegistrationError(f"elastix gave up: {str(error).strip().splitlines()[-1]}") from error
        height, width = image.shape
        y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
        rows, columns = template.shape
        places = np.stack([(x + field[..., 0]) / columns, (y + field[..., 1]) / rows])
        return torch.from_numpy(places.astype(np.float32))

    def _parameters(self) -> Any:
        parameters = _itk().ParameterObject.New()
        for kind in ("affine", "bspline"):
            chosen = parameters.GetDefaultParameterMap(kind, 3 if self.options.maps == "tuned" else 4)
            if self.options.maps == "tuned":
                chosen["Metric"] = ["AdvancedNormalizedCorrelation"]
                chosen["Registration"] = ["MultiResolutionRegistration"]
                for weight in ("Metric0Weight", "Metric1Weight"):
                    if weight in chosen:
                        chosen.erase(weight)
                chosen["MaximumNumberOfIterations"] = [str(self.options.iterations)]
                chosen["NumberOfSpatialSamples"] = [str(self.options.samples)]
                chosen["NumberOfSamplesForExactGradient"] = [str(self.options.exact_samples)]
                if kind == "bspline":
                    chosen["FinalGridSpacingInPhysicalUnits"] = [str(self.options.spacing)]
                    chosen["GridSpacingSchedule"] = ["4", "2", "1"]
            chosen["AutomaticTransformInitialization"] = ["true" if kind == "affine" else "false"]
            chosen["WriteResultImage"] = ["false"]
            parameters.AddParameterMap(chosen)
        return parameters


def _itk() -> Any:
    try:
        import itk
    except ImportError as error:
        raise ConfigError(
            "the elastix backend needs itk-elastix: pip install 'vesalius[registration]'; or use --backend batched"
        ) from error
    return itk
