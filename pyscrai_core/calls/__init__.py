"""One call: asked within limits, retried, paid for and journaled."""
