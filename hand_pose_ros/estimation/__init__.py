"""Networks at run time: which models there are, the engines that run them, and crops turned into joints."""
