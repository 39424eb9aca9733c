"""Faults, kills, size, and input that is out to harm."""
