# An encoder of your own: a function from N strings to N rows, in a module or a
# file. Whatever else stands in options is passed on to it. Its file's SHA-256 goes
# into the cache, so that another version of it embeds again.
class_text = dict(
    encoder=dict(name="function", options=dict(function="my_encoder.py:embed")),
    source=dict(name="label"),
)
