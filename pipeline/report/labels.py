"""How methods, variants, gates and protocols are written, and in which order."""

from __future__ import annotations

from zskel.zsl.protocols import protocol_warning

#: In the order of the paper's tables; methods without a line here come before SA-DVAE.
METHOD_LABELS = {
    "revise": "ReViSE", "jpose": "JPoSE", "cada_vae": "CADA-VAE", "synse": "SynSE",
    "smie": "SMIE", "conse": "ConSE", "eszsl": "ESZSL", "ridge": "Ridge regression",
    "text_prototypes": "Text prototypes",
    "infonce": "InfoNCE", "msf": "MSF", "fs_vae": "FS-VAE", "pgfa_head": "PGFA's head",
    "tdsm": "TDSM", "flora": "Flora", "purls": "PURLS", "neuron": "Neuron",
    "sa_dvae": "SA-DVAE",
}
#: In the order of the paper's Tables 6 and 7.
VARIANT_LABELS = {"naive": "naive alignment", "fd": "FD", "fd+tc": "FD + TC"}
GATE_LABELS = {
    "domain_classifier": "C_d, soft mixture", "hard": "C_d, hard threshold",
    "familiarity": "familiarity", "calibrated_stacking": "calibrated stacking",
    "joint_softmax": "joint softmax", "error_ratio": "error ratio",
    "left_out_classes": "left-out classes",
}
#: The method and gate of the config "recommended": a row of its own in the main tables.
RECOMMENDED = ("text_prototypes", "left_out_classes")
DATASET_LABELS = {
    "ntu60": "NTU RGB+D 60", "ntu120": "NTU RGB+D 120", "pku-mmd": "PKU-MMD",
    "utd-mhad": "UTD-MHAD", "nw-ucla": "NW-UCLA", "synthetic": "Synthetic body",
}
RELEASED = "released"


def variant_label(variant: str) -> str:
    """A record's variant in words; empty for a method's default.

    >>> variant_label("fd+tc"), variant_label("default")
    ('FD + TC', '')
    >>> variant_label("fd released noise=dimension")
    'FD, released recipe, noise=dimension'
    """
    words = variant.split()
    shown = {"default": "", RELEASED: "released recipe", **VARIANT_LABELS}
    return ", ".join(filter(None, (shown.get(word, word) for word in words)))


def protocol_label(protocol: str) -> str:
    """A protocol with its warning, if it deserves one.

    >>> protocol_label("strict"), protocol_label("released")
    ('strict', 'released: epoch and threshold chosen on test data')
    """
    warning = protocol_warning(protocol)
    return f"{protocol}: {warning}" if warning else protocol


def method_order(method: str, variant: str) -> tuple[object, ...]:
    """Sort key: baselines as in the paper, then SA-DVAE with the full method last.

    >>> sorted([("sa_dvae", "fd+tc"), ("mine", "default"), ("sa_dvae", "fd+tc released"),
    ...         ("smie", "default"), ("sa_dvae", "naive")], key=lambda i: method_order(*i))[-3:]
    [('sa_dvae', 'fd+tc released'), ('sa_dvae', 'naive'), ('sa_dvae', 'fd+tc')]
    """
    methods, variants = list(METHOD_LABELS), list(VARIANT_LABELS)
    rank = methods.index(method) if method in methods else len(methods) - 1.5
    return (rank, method, variant in variants,
            variants.index(variant) if variant in variants else 0, variant)
