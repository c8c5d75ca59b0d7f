# Neuron's six texts of each class. What its three granularities are is an assumption: the
# whole movement, then that of trunk and limbs, then that of the hands; its three stages
# are the thirds of the time. Beside a config that says class_text.
_encoder = dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2"))

class_text_parts = {
    name: dict(encoder=_encoder, source=dict(name="parts", options=dict(of=parts)))
    for name, parts in (
        ("spatial_1", ["motion"]), ("spatial_2", ["head", "hands", "torso", "legs"]),
        ("spatial_3", ["hands"]), ("temporal_1", ["start"]), ("temporal_2", ["middle"]),
        ("temporal_3", ["end"]))
}
