"""What a person looks at: a page a run, and many pictures as one."""
