# Label and description side by side, 35 tokens of each class, in CLIP ViT-B/32. TDSM's
# release has the text encoder of Stable Diffusion 2.1, which is that of ViT-H-14
# ("laion2b_s32b_b79k") without its last layer; Flora's that of ViT-L-14-336 ("openai").
class_text = dict(
    encoder=dict(name="clip", options=dict(model="ViT-B-32", pretrained="openai")),
    source=dict(name="label"),
    concat_with=[dict(source=dict(name="description"))],
    tokens=35,
)
