"""The reasoning `plan`: a private plan that is revised when events contradict it."""
