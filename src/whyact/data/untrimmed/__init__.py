"""Untrimmed videos as snippet features: THUMOS'14, ActivityNet, feature folders."""
