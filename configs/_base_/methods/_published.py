"""Published settings, each a config of its own as if it were a file NAME.py here.

A setting is the config that it is built on, and the method's options that differ.
"""


def _on(base, seeds=5, **options):
    return f"_base_ = ['{base}.py']\nfit = {dict(method=dict(options=options), seeds=seeds)!r}\n"


#: z_r, z_v, n_d, batch size and learning rate of the paper's tables, and the learning
#: rate of the released script, which the paper rounds. Table 2 is for the splits of
#: SynSE, 5 for the random splits, F for descriptions by an LLM.
_SA_DVAE = {
    "table2_ntu60": (160, 8, 5, 32, 3.39e-5, 3.389e-5),
    "table2_ntu120": (256, 32, 4, 32, 3.48e-5, 3.478e-5),
    "table5_ntu60": (224, 16, 7, 32, 3.60e-5, 3.596e-5),
    "table5_ntu120": (176, 20, 12, 32, 7.36e-5, 7.361e-5),
    "table5_pku": (128, 16, 2, 64, 3.07e-5, 3.074e-5),
    "tablef_ntu60": (96, 8, 4, 32, 4.94e-5, 4.937e-5),
    "tablef_ntu120": (304, 12, 16, 24, 2.13e-5, 2.134e-5),
}

#: SynSE's ramps on NTU-120, whose cycles are longer.
_CYCLES_NTU120 = dict(
    latent_dim=200, epochs=21, batch_size=64, learning_rate=1e-4, beta_x=0.03,
    beta_y=0.1 * 400 / 3000, kl_start=1000 / 1900, alignment_start=1500 / 1900)
_TDSM = dict(depth=12, width=768, heads=12, batch_size=256, learning_rate=1e-4)

configs = {
    # The ablations of Tables 6 and 7: feature disentanglement without D_T, and naive
    # alignment with neither z_v nor D_T.
    "sa_dvae_fd": _on("sa_dvae", 3, variant="fd"),
    "sa_dvae_naive": _on("sa_dvae", 3, variant="naive"),
    # Everything as in CADA-VAE's paper and its authors' code: 64 latents, hidden layers,
    # L1, three warm-ups within 100 epochs of batches of 50.
    "cada_vae_paper": _on("cada_vae", learning_rate=1.5e-4),
    # As SynSE's authors ran CADA-VAE: no hidden layers, no Wasserstein term. 30 epochs
    # are their 10 cycles of 1700 steps on the 55/5 split, 21 those of 1900 on 110/10.
    "cada_vae_ntu60": _on("cada_vae", recipe="released", epochs=30, batch_size=64,
                          learning_rate=1e-4),
    "cada_vae_ntu120": _on(
        "cada_vae", recipe="released", latent_dim=200, epochs=21, batch_size=64,
        learning_rate=1e-4, beta=0.03, kl_start=1000 / 1900, alignment_start=1500 / 1900),
    # SynSE's own. They need the texts of _base_/text/verb_noun_parts_stsb.py;
    # recipe="released" adds what its code does beyond the paper.
    "synse_ntu60": _on("synse", epochs=30, batch_size=64, learning_rate=1e-4),
    "synse_ntu120": _on("synse", **_CYCLES_NTU120),
    # MSF and FS-VAE in SynSE's 10 cycles of 1700 and of 1900 steps.
    "msf_ntu60": _on("msf", epochs=30, batch_size=64, learning_rate=1e-4),
    "msf_ntu120": _on("msf", **_CYCLES_NTU120),
    "fs_vae_ntu60": _on("fs_vae", epochs=30, batch_size=64, learning_rate=1e-4),
    "fs_vae_ntu120": _on("fs_vae", alpha=0.1, **_CYCLES_NTU120),
    "pgfa_head_ntu120": _on("pgfa_head", learning_rate=0.005),
    # 1000 steps of the autoencoders and 200 of the flow, in batches of 64; the split's own
    # neighbours and weights are left out.
    "flora_ntu60": _on("flora", width=768, heads=12, epochs=2, learning_rate=1e-4, noises=1),
    "flora_ntu120": _on("flora", width=768, heads=12, epochs=1, learning_rate=1e-4, noises=1),
    # 50,000 steps of 261 million parameters: hours on a GPU. ``tdsm`` is a small one everywhere.
    "tdsm_full_ntu60": _on("tdsm", epochs=345, **_TDSM),
    "tdsm_full_ntu120": _on("tdsm", epochs=221, **_TDSM),
}
for _data in ("ntu60", "ntu120"):
    # synse-zsl trains JPoSE for up to 2000 epochs and stops by accuracy on test clips;
    # here it is as long as its ReViSE, whose learning rate also falls, and whose epoch is
    # chosen, by accuracy on test clips; here it is constant and the last epoch counts.
    configs[f"jpose_{_data}"] = _on("jpose", epochs=300, batch_size=1024, learning_rate=1e-4)
    configs[f"revise_{_data}"] = _on("revise", epochs=300, batch_size=1024, learning_rate=1e-4)
    # The last epoch counts; the released code reports SMIE's best one on test clips.
    configs[f"smie_{_data}"] = _on("smie", epochs=100, batch_size=128, learning_rate=1e-5)
for _name, (_r, _v, _n_d, _batch, _rate, _script_rate) in _SA_DVAE.items():
    _sizes = dict(z_r_dim=_r, z_v_dim=_v, n_d=_n_d, batch_size=_batch)
    configs[f"sa_dvae_{_name}"] = _on("sa_dvae_published", learning_rate=_rate, **_sizes)
    configs[f"sa_dvae_released_{_name}"] = _on(
        "sa_dvae_released", learning_rate=_script_rate, **_sizes)
