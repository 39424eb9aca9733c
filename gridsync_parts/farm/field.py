"""The files of a run in the hands of workers: what threads are for a run on one machine."""
