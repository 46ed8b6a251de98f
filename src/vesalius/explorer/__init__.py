"""A local web page over a store and its runs: a grid, one image large, a map; read from disk, never from a model."""
