"""The commands, by the stage they belong to. Each is a short function that says what it takes and one that does it.

What is heavy is imported inside, after everything cheap has been checked.
"""
