"""The one that moves a job along and records what engines report."""
