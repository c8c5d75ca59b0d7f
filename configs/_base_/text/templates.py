# The class name in several sentences; f_y is the mean of their embeddings.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(
        name="template",
        options=dict(templates=[
            "{}",
            "a person doing this: {}",
            "human action: {}",
            "a skeleton sequence of the movement {}",
            "someone is shown from head to foot during {}",
        ]),
    ),
)
