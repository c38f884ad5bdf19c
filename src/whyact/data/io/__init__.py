"""Readers of published file formats that trust nothing: archives, pickles, MATLAB files."""
