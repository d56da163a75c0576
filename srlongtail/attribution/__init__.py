"""Attribution: which LR pixels an SR result depends on. Takes tensors and any callable."""
