"""Jobs, their events and their checkpoints."""
