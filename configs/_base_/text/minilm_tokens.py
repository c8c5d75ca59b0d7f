# What the releases of TDSM and Flora read: label and description side by side, 35 tokens of
# each class; here from the small Sentence-BERT of the extra "demo". Methods that read no
# tokens take f_y, which is that of label_beside_description.py.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="label"),
    concat_with=[dict(source=dict(name="description"))],
    tokens=35,
)
