# Neuron. It takes _base_/views/pooled.py and _base_/text/neuron_parts.py;
# recipe="released" looks at labels and needs protocol="released".
fit = dict(method=dict(name="neuron"))
