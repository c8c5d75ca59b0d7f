# Verb and noun of each class embedded apart by the Sentence-BERT that SynSE's
# features use; as verb_noun_parts.py otherwise.
_encoder = dict(name="sentence_bert", options=dict(model="stsb-bert-large"))

class_text_parts = dict(
    verb=dict(encoder=_encoder, source=dict(name="verb")),
    noun=dict(encoder=_encoder, source=dict(name="noun")),
)
