"""The reasoning `self-consistency`: the most common of several answers."""
