"""Losses and pixel weights of the field, behind the interface of `FocalPixelLoss`."""
