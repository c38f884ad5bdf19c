"""Clips of human-object relations: CAD-120, Action Genome with Charades, and own data."""
