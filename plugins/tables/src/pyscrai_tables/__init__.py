"""Exports of PyScrAI's runs as tables: `jsonl` (exact) and `csv` (for spreadsheets)."""
