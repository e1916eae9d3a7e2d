"""The engines `rules` and `world`: agents that follow a policy, and a judge that decides by rulings."""
