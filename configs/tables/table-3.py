# Table 3: the splits of SynSE, every method of the paper.
table = dict(
    title="Table 3: ZSL accuracy on the NTU RGB+D datasets",
    runs=[dict(
        experiments=["ntu60-55-5", "ntu60-48-12", "ntu120-110-10", "ntu120-96-24"],
        texts=["verb_noun_parts_stsb"],
        views=["f_x_masked"],  # for SMIE's temporal constraint
        methods=["own", "revise", "jpose", "cada_vae", "synse", "smie"],
    )],
)
