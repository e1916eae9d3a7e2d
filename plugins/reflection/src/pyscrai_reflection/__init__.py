"""The reasoning `reflection`: draft, critique, revision."""
