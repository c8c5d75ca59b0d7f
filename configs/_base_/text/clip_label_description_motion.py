# Label, description and the movement alone, each in CLIP ViT-B/32, side by side in f_y:
# what MSF and FS-VAE read, in the project's own sentences.
class_text = dict(
    encoder=dict(name="clip", options=dict(model="ViT-B-32", pretrained="openai")),
    source=dict(name="label"),
    concat_with=[dict(source=dict(name="description")), dict(source=dict(name="motion"))],
)
