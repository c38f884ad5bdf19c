"""Zero-shot recognition: UCF101, HMDB51, Kinetics and ActivityNet with their published splits."""
