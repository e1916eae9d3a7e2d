"""The provider `llamacpp`: a local model with llama.cpp, in the same process."""
