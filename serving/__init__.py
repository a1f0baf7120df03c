"""One request in, one slate out, in milliseconds."""
