"""Pure functions on arrays, one idea a file."""
