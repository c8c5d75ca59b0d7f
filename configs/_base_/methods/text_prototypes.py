# Class prototypes predicted from text. Nothing is left to set; the seed only divides
# the seen classes when the softmax's temperature is chosen.
fit = dict(method=dict(name="text_prototypes"))
