"""The exporters `jsonl` (exact) and `csv` (for spreadsheets)."""
