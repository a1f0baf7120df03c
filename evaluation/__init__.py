"""Is it good? Pure functions on tables and small frozen values."""
