"""Discovery methods against each other."""
