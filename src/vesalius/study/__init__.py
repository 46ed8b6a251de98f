"""Arms x seeds x tasks at equal budget, resumable, and the tables that come of them."""
