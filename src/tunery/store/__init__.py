"""What is remembered: tables, statements, and the databases that they run on."""
