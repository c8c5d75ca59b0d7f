# How the body moves, without any object, in one sentence of the project's own,
# embedded by the small Sentence-BERT of the extra "demo".
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="motion"),
)
