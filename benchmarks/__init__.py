"""Speed, always as a ratio of two things measured in the same run. No part of what is installed."""
