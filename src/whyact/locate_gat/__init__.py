"""LoCATe-GAT: actions whose names were never trained on (TETCI 2024)."""
