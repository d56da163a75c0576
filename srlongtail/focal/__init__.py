"""Focal Pixel Learning: structure priors, the weights made of them, and the loss."""
