"""Anthropic's models for PyScrAI."""
