# PURLS' eight texts of each class, embedded apart: four parts of the body, three thirds of
# the time, and "label: description". Beside a config that says class_text.
_encoder = dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2"))

class_text_parts = dict(
    **{part: dict(encoder=_encoder, source=dict(name="parts", options=dict(of=[part])))
       for part in ("head", "hands", "torso", "legs", "start", "middle", "end")},
    whole=dict(encoder=_encoder, source=dict(
        name="concat", options=dict(sources=["label", "description"], separator=": "))),
)
