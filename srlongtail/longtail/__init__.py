"""The long tail of SR errors, and how well it is fitted. Functions take tensors and callables."""
