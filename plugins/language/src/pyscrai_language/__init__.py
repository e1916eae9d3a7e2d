"""What strangers may write in a scenario: expressions, templates, schemas. Bounded and deterministic."""
