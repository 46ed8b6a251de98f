"""One published data set layout a file."""
