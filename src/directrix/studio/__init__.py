"""A web page on which people see directions, steer with them and compare, without writing Python.

`serve` starts it. One worker draws, with one model in memory; the page only asks it.
"""
