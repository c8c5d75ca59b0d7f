# What moves and how, in the project's own sentences, in CLIP ViT-B/32 (the paper's
# Table F and Appendix C.2, which has descriptions by a language model).
class_text = dict(
    encoder=dict(name="clip", options=dict(model="ViT-B-32", pretrained="openai")),
    source=dict(name="description"),
)
