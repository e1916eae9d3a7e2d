"""Memories for PyScrAI's agents: `full` keeps everything, `window` the newest part."""
