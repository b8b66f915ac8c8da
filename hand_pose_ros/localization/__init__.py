"""Where a hand is: candidates in a depth image, cube crops, and the network that refines them."""
