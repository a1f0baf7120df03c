"""Logs in, release out."""
