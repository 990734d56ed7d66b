"""SQL written for prompts, and the rows that it gives."""
