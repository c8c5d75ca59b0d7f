# PURLS for hundreds of clips. It takes _base_/views/thirds_joints.py and
# _base_/text/purls_parts.py; recipe="released" looks at labels and needs protocol="released".
fit = dict(method=dict(name="purls"))
