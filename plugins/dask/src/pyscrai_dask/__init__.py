"""An executor for experiments: their trials on the workers of a Dask cluster."""
