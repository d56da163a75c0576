"""What the long tail of SR errors is, and who fits it. Takes tensors and callables."""
