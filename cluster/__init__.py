"""Dask clusters and their worker pools; knows nothing of the analyses that run on them."""
