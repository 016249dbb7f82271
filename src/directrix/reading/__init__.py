"""The gate for all that is read from outside: no other room opens a file that somebody else may have written.

Size, nesting, aliases, the number of digits and kinds of values are bounded before anything is built. Whatever is
refused is refused in one sentence, with the file, the place in it, what was expected and what to do.
"""
