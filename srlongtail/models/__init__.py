"""Networks, and what has to be known about one to use it: scale, output, range, origin."""
