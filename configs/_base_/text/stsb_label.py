# The class name in the Sentence-BERT that SynSE's features and the paper's
# Table 3 use.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="stsb-bert-large")),
    source=dict(name="label"),
)
