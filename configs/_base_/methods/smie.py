# SMIE as it is defined; recipe="released" is what the published code executes.
# With features of masked clips (f_x_masked) it has its temporal constraint too.
# Epochs and learning rate are for hundreds of clips rather than tens of thousands.
fit = dict(method=dict(name="smie"))
