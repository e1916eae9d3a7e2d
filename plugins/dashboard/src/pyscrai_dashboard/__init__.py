"""A dashboard for runs and experiments in the browser."""
