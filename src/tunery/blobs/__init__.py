"""Where bytes lie: files, checkpoints and adapters by key."""
