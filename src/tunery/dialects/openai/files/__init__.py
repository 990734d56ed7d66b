"""OpenAI's files, and its uploads in parts."""
