"""The reasoning `react`: thoughts and tools in steps, then the answer."""
