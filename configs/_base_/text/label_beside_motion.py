# The class name, and in one sentence of the project's own how the body moves, embedded apart,
# each scaled to unit length, side by side in f_y. For classes of your own, give the sentences in
# a file: concat_with=[dict(source=dict(name="file", options=dict(path="motions.json")))].
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="label"),
    concat_with=[dict(source=dict(name="motion"))],
)
