# Neuron's six texts of each class. As in the release, the three of the joints say the same in
# more and more detail, and those of the frames tell the first third of the movement, the first
# two, and all of it. Beside a config that says class_text.
_encoder = dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2"))

class_text_parts = {
    name: dict(encoder=_encoder, source=dict(name="parts", options=dict(of=parts)))
    for name, parts in (
        ("spatial_1", ["motion"]), ("spatial_2", ["head", "hands", "torso", "legs"]),
        ("spatial_3", ["motion", "head", "hands", "torso", "legs"]), ("temporal_1", ["start"]),
        ("temporal_2", ["start", "middle"]), ("temporal_3", ["start", "middle", "end"]))
}
