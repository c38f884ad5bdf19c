"""Video action understanding that shows its evidence."""
