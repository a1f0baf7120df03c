"""The contract: what events, labels and features mean, and how they are computed and read."""
