"""Questions with a known answer; the only code that may look at the truth."""
