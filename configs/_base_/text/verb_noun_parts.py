# Verb and noun of each class embedded apart, for methods of parts of speech
# (JPoSE, SynSE); beside a config that says class_text. A label without a noun
# has "#". extract caches them as features/text_verb.h5 and features/text_noun.h5.
_encoder = dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2"))

class_text_parts = dict(
    verb=dict(encoder=_encoder, source=dict(name="verb")),
    noun=dict(encoder=_encoder, source=dict(name="noun")),
)
