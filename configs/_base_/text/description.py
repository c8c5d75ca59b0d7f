# What moves and how, in one or two sentences of the project's own, embedded by
# the small Sentence-BERT of the extra "demo". With the label ahead of it:
# source=dict(name="concat", options=dict(sources=["label", "description"])).
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="description"),
)
