# "label. description" as one text.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="concat", options=dict(sources=["label", "description"])),
)
