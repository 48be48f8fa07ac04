"""Models behind HTTP: a picture is posted, a picture comes back, the very one that `i2i translate` writes."""
