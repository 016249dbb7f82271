"""How strong a direction is, where it leaks, and what probes read: all that is fitted to judged images."""
