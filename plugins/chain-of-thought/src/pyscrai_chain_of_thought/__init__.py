"""The reasoning `chain-of-thought`: private thoughts, then the answer."""
