"""Reading scans and keeping them: readers, the store, splits, dataset adapters, the phantom."""
