"""What a model answers under each mode, judged, beside where the geometry puts it."""
