"""Zero-shot methods, by name. A new one is one file and one line here."""

from __future__ import annotations

from zskel.data.common.registry import Registry

METHODS = Registry("method", {
    "sa_dvae": "zskel.zsl.methods.sa_dvae:SADVAE",
    "cada_vae": "zskel.zsl.methods.cada_vae:CADAVAE",
    "conse": "zskel.zsl.methods.conse:ConSE",
    "eszsl": "zskel.zsl.methods.eszsl:ESZSL",
    "jpose": "zskel.zsl.methods.jpose:JPoSE",
    "revise": "zskel.zsl.methods.revise:ReViSE",
    "ridge": "zskel.zsl.methods.ridge:Ridge",
    "smie": "zskel.zsl.methods.smie:SMIE",
    "synse": "zskel.zsl.methods.synse:SynSE",
    "text_prototypes": "zskel.zsl.methods.text_prototypes:TextPrototypes",
})

__all__ = ["METHODS"]
