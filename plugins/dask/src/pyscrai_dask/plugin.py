"""What this distribution adds to PyScrAI: the executor `dask`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_executors() -> list[Extension]:
    return [Extension("dask", "pyscrai_dask.executor:Dask", "Trials on the workers of a Dask cluster.")]
