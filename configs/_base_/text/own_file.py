# Your own texts: one line a class in label order, or JSON {class name: text or
# [texts]}. Give the file with --cfg-options class_text.source.options.path=FILE.
class_text = dict(
    encoder=dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2")),
    source=dict(name="file", options=dict(path="class_texts.json")),
)
