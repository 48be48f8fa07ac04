"""Model files: ours, which describe themselves, and those of strangers, which are not trusted."""
