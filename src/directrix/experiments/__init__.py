"""The demo, the comparison of methods, costs, the paper again, and the emoji world with its training."""
