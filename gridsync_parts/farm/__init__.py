"""Copies on several machines: a run hands files to workers, which Dask keeps in touch with it."""
