"""From a direction to a changed forward pass: steering, project-and-set, concept erasure, feedback control."""
