"""Which worker has which files: no threads, no clock, no Dask."""
