"""What training and refinement minimise: differentiable measures on tensors, no lattices, no files."""
