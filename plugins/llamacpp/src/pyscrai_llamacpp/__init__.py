"""The provider `llamacpp`: a local model through llama.cpp, in the process itself."""
