"""Scale's training datasets, each of which is a file here."""
