"""The tables of the benchmark, one module each.

VARIANTS    {name: package that it needs, or None}
UNIT        what is counted per second, or None
build(name, settings) -> (call, items per call, floating-point operations per call or 0)
    or serve(name, settings, protocol) for what cannot be called in turns from outside
targets(rows by name) -> [(what, is it met)]
finish(rows) -> rows, optional: more columns
"""
