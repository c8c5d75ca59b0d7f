# What the parts of the body do and what happens in each third, in texts of the project's own,
# averaged after the small Sentence-BERT of the extra "demo" has embedded them.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="parts"),
)
