# ESZSL with its paper's candidates for both penalties, chosen on left-out seen
# classes. The seed only divides these.
fit = dict(method=dict(name="eszsl"))
