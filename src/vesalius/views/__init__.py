"""How an image is looked at: one affine, one resampling, then intensities."""
