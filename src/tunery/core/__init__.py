"""What the platform is about: values and rules, no input or output."""
