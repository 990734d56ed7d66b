"""Scale's models and their deployments."""
