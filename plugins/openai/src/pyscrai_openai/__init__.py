"""The provider `openai`: OpenAI and compatible servers."""
