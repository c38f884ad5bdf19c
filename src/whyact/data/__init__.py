"""Published layouts and own data, a file a data set."""
