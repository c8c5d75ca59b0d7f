# Not of the paper: what the text source and the backbone are worth on UTD-MHAD.
_base = dict(experiments=["utd-mhad-22-5", "utd-mhad-22-5-shift-gcn"], seeds=5)

table = dict(
    title="ZSL and GZSL on UTD-MHAD by text source and backbone",
    runs=[
        _base,
        dict(**_base, texts=["templates"], suffix="templates"),
        dict(**_base, texts=["description"], suffix="description"),
    ],
)
