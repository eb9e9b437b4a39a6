"""What is tried on a checkpoint and read at once: capture and analysis together, nothing kept of the rows."""
