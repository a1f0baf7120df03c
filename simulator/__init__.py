"""The world outside: people, videos, creators and time."""
