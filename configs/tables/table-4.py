# Table 4: the fits of Table 3 but SMIE, of which no GZSL figures were published.
table = dict(
    title="Table 4: GZSL accuracy on the NTU RGB+D datasets",
    runs=[dict(
        experiments=["ntu60-55-5", "ntu60-48-12", "ntu120-110-10", "ntu120-96-24"],
        texts=["verb_noun_parts_stsb"],
        views=["f_x_masked"],
        methods=["own", "revise", "jpose", "cada_vae", "synse"],
    )],
)
