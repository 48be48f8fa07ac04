"""What a person looks at: a page for each run, and many pictures in one."""
