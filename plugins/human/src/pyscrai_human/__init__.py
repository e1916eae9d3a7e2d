"""The engine `human`: an agent that a person plays."""
