"""From a file to a scenario: reading, templates, populations, prompts, expressions, trust."""
