# The class name in CLIP ViT-B/32, the paper's choice for random splits (Table 5).
class_text = dict(
    encoder=dict(name="clip", options=dict(model="ViT-B-32", pretrained="openai")),
    source=dict(name="label"),
)
