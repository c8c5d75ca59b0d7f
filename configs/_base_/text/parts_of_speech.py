# Verb and noun as one text ("take off jacket"); JPoSE and SynSE embed the two
# apart: source=dict(name="verb") and source=dict(name="noun").
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="concat", options=dict(sources=["verb", "noun"], separator=" ")),
)
