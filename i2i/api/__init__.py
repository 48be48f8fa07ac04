"""What Python calls: the commands as functions, with arrays in and out, callbacks and progress.

Errors speak Python here: `overwrite=True` where those of the command line say --overwrite.
"""
