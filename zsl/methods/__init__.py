"""Zero-shot methods, by name. A new one is one file and one line here."""

from __future__ import annotations

from data.registry import Registry

METHODS = Registry("method", {
    "sa_dvae": "zsl.methods.sa_dvae:SADVAE",
    "cada_vae": "zsl.methods.cada_vae:CADAVAE",
    "conse": "zsl.methods.conse:ConSE",
    "eszsl": "zsl.methods.eszsl:ESZSL",
    "jpose": "zsl.methods.jpose:JPoSE",
    "revise": "zsl.methods.revise:ReViSE",
    "ridge": "zsl.methods.ridge:Ridge",
    "smie": "zsl.methods.smie:SMIE",
    "synse": "zsl.methods.synse:SynSE",
})

__all__ = ["METHODS"]
