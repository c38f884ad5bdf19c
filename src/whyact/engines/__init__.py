"""Run a job here or on a cluster, with the same result."""
