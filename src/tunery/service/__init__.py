"""The use cases: each one a method on plain values and narrow ports."""
