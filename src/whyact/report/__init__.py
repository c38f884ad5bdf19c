"""A prediction as one self-contained HTML file."""
