"""Is it still good, and what do we do?"""
