"""The exporters `parquet` and `duckdb`."""
