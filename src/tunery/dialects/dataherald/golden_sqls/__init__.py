"""Questions with the SQL that is known to answer them; golden records, in older words."""
