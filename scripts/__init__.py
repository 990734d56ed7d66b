"""Programs that make what the package ships: the built-in models and the example data."""
