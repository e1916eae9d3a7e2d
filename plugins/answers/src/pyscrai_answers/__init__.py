"""What a model answered, and what it is taken for."""
