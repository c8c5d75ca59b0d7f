"""Zero-shot methods, by name. A new one is one file and one line here."""

from __future__ import annotations

from zskel.data.common.registry import Registry

METHODS = Registry("method", {
    "sa_dvae": "zskel.zsl.methods.sa_dvae:SADVAE",
    "cada_vae": "zskel.zsl.methods.cada_vae:CADAVAE",
    "conse": "zskel.zsl.methods.conse:ConSE",
    "eszsl": "zskel.zsl.methods.eszsl:ESZSL",
    "flora": "zskel.zsl.methods.flora:Flora",
    "fs_vae": "zskel.zsl.methods.fs_vae:FSVAE",
    "infonce": "zskel.zsl.methods.infonce:InfoNCE",
    "jpose": "zskel.zsl.methods.jpose:JPoSE",
    "msf": "zskel.zsl.methods.msf:MSF",
    "neuron": "zskel.zsl.methods.neuron:Neuron",
    "pgfa_head": "zskel.zsl.methods.pgfa_head:PGFAHead",
    "purls": "zskel.zsl.methods.purls:PURLS",
    "revise": "zskel.zsl.methods.revise:ReViSE",
    "ridge": "zskel.zsl.methods.ridge:Ridge",
    "smie": "zskel.zsl.methods.smie:SMIE",
    "synse": "zskel.zsl.methods.synse:SynSE",
    "tdsm": "zskel.zsl.methods.tdsm:TDSM",
    "text_prototypes": "zskel.zsl.methods.text_prototypes:TextPrototypes",
}, base="zskel.zsl.methods.base:ZeroShotMethod")

__all__ = ["METHODS"]
