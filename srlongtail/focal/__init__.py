"""Focal Pixel Learning: structure priors, focal weights, and the loss."""
