"""PVLR: when actions happen, learned from video-level labels (ACM MM 2024)."""
