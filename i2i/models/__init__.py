"""Model files: our own, which describe themselves, and those of strangers, which are not trusted."""
