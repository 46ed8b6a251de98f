"""One self-contained page from what is on disk."""
