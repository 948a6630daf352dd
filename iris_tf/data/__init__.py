"""Datasets: manifest, layouts, splits and the crop store. Crops are made in `preparation`."""
