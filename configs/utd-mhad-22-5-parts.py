# utd-mhad-22-5 with what methods of body parts read: pooled views of the feature map beside
# f_x, and the texts of PURLS and Neuron. The work directory is one of its own.
_base_ = ["utd-mhad-22-5.py"]
_encoder = dict(name="sentence_bert", options=dict(model="all-MiniLM-L6-v2"))

name = "utd-mhad-22-5-parts"
feature_views = dict(  # _base_/views/pooled.py and thirds_joints.py
    joint_means=dict(pool="joint_means"),
    frame_means=dict(pool="frame_means"),
    thirds_joints=dict(pool="thirds_joints"))
class_text_parts = {  # _base_/text/purls_parts.py and neuron_parts.py
    **{part: dict(encoder=_encoder, source=dict(name="parts", options=dict(of=of)))
       for part, of in dict(
           head=["head"], hands=["hands"], torso=["torso"], legs=["legs"], start=["start"],
           middle=["middle"], end=["end"], spatial_1=["motion"],
           spatial_2=["head", "hands", "torso", "legs"],
           spatial_3=["motion", "head", "hands", "torso", "legs"], temporal_1=["start"],
           temporal_2=["start", "middle"], temporal_3=["start", "middle", "end"]).items()},
    "whole": dict(encoder=_encoder, source=dict(
        name="concat", options=dict(sources=["label", "description"], separator=": "))),
}
