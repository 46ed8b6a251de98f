"""Images onto a template: an affine, then a cubic B-spline."""
