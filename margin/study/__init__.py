"""One run opened for analysis: its spaces, and section by section what is found in them."""
