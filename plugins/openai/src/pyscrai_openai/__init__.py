"""The provider `openai`: OpenAI and every server that speaks its interface."""
