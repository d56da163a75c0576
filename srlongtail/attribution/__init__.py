"""Which LR pixels an SR result was made of. Takes tensors and any callable `lr -> sr`."""
