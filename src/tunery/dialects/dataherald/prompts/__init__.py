"""Questions asked of databases."""
