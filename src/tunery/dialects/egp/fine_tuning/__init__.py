"""Scale's fine-tuning jobs."""
