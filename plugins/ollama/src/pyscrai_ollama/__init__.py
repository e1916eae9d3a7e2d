"""The provider `ollama`: models served by Ollama."""
