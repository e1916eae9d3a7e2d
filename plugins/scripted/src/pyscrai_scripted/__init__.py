"""The provider `scripted`, whose answers are part of its options."""
