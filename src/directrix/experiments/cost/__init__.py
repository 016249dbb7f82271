"""Time and memory of discovery, steering and evaluation."""
