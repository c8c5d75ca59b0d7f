# Verb and noun of each class embedded apart by CLIP ViT-B/32, which the paper's random
# splits use; as verb_noun_parts.py otherwise.
_encoder = dict(name="clip", options=dict(model="ViT-B-32", pretrained="openai"))

class_text_parts = dict(
    verb=dict(encoder=_encoder, source=dict(name="verb")),
    noun=dict(encoder=_encoder, source=dict(name="noun")),
)
