"""`python -m vesalius.cli`."""

from vesalius.cli import main

main()
