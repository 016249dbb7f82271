"""What a concept adds to the activations at one site of one model: the vector, its algebra, file, hub and card."""
