# Table C: skeleton feature extractors on the random splits of NTU-60. The paper's first row is
# not legible in our copy and has no experiment.
table = dict(
    title="Table C: feature extractors",
    runs=[dict(experiments=[
        f"ntu60-random-{k}{backbone}" for backbone in ("", "-posec3d") for k in (1, 2, 3)])],
)
