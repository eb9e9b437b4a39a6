"""Numbers from arrays: silhouettes, margins, their influence functions and tests. No torch."""
