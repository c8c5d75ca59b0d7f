# Label and description embedded apart, each scaled to unit length, side by side
# in f_y. A part may have an encoder of its own: dict(encoder=..., source=...).
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="label"),
    concat_with=[dict(source=dict(name="description"))],
)
