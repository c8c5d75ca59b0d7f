"""Refinements of the protocol ``transductive``: a new one is one file and one line here."""

from __future__ import annotations

from zskel.data.common.registry import Registry

REFINEMENTS = Registry("refinement", {
    "cluster_votes": "zskel.zsl.refinements.cluster_votes:ClusterVotes",
    "prototype_alignment": "zskel.zsl.refinements.prototype_alignment:PrototypeAlignment",
    "prototype_votes": "zskel.zsl.refinements.prototype_votes:PrototypeVotes",
    "skeleton_cache": "zskel.zsl.refinements.skeleton_cache:SkeletonCache",
}, base="zskel.zsl.refinements.base:Refinement")

__all__ = ["REFINEMENTS"]
