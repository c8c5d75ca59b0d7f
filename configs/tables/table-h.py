# Table H: the fits of Table G but SMIE, of which no GZSL figures were published.
def _splits(name):
    return [f"{name}-random-{k}" for k in (1, 2, 3)]


table = dict(
    title="Table H: GZSL accuracy with class descriptions",
    runs=[
        dict(experiments=[*_splits("ntu60"), *_splits("ntu120")]),
        *(dict(experiments=_splits(name), suffix="described", texts=["clip_description"],
               methods=[f"sa_dvae_tablef_{name}"], views=["f_x_masked"])
          for name in ("ntu60", "ntu120")),
    ],
)
